package rows

import "unsafe"

// bytesOf are the bytes of the elements of a request.
func bytesOf[T any](elements []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(elements))), len(elements)*int(unsafe.Sizeof(elements[0])))
}
