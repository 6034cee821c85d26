package wire

import (
	"crypto/cipher"
	"encoding/hex"
	"unsafe"

	"github.com/ericlagergren/aegis"
)

// Checksum is that of a message, a prepare, a block or a page. It is an opaque byte string in wire
// order, compared with ==. Client messages have AEGIS-128L, by the protocol. The rest, which is our
// own, has BLAKE3, of which it is the first 16 bytes: a collision cannot be made on purpose.
type Checksum [16]byte

// checksumOfEmpty is ChecksumOf(nil), which is checksum_body of every message without a body.
var checksumOfEmpty = Checksum{0x83, 0xcc, 0x60, 0x0d, 0xc4, 0xe3, 0xe7, 0xe6, 0x2d, 0x40, 0x55, 0x82, 0x61, 0x74, 0xf1, 0x49}

// The cipher has a fixed key of zeros and no state that changes. So any number of threads may use
// it at once.
var (
	checksumCipher = newChecksumCipher()
	checksumNonce  [aegis.NonceSize128L]byte
)

func newChecksumCipher() cipher.AEAD {
	var key [aegis.KeySize128L]byte
	aead, err := aegis.New(key[:])
	if err != nil {
		panic("broken assertion: AEGIS-128L takes a key of 16 bytes: " + err.Error())
	}
	return aead
}

// ChecksumOf returns the checksum of data: the AEGIS-128L tag with zero key and nonce over data as
// associated data. It does not allocate, keeps nothing, and may be called by many threads at once.
//
// data: any length and alignment, heap, stack or mapped memory.
// source: specification, "Checksum".
func ChecksumOf(data []byte) Checksum {
	var sum Checksum
	// The call goes through an interface. So the compiler must assume that it keeps its arguments,
	// and would allocate sum (and any local array behind data) on the heap in each call. Seal keeps
	// neither of them, so they are hidden.
	tag := unsafe.Slice((*byte)(hidden(unsafe.Pointer(&sum))), len(sum))
	input := unsafe.Slice((*byte)(hidden(unsafe.Pointer(unsafe.SliceData(data)))), len(data))
	checksumCipher.Seal(tag[:0], checksumNonce[:], nil, input)
	return sum
}

// hidden returns p in a way that escape analysis does not follow. The result is an ordinary pointer
// for the collector and for the copying of stacks, so it is valid exactly as long as p is.
func hidden(p unsafe.Pointer) unsafe.Pointer {
	address := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// IsZero tells whether all bytes are 0, as in the parent of a register request.
func (c Checksum) IsZero() bool { return c == Checksum{} }

// String returns the bytes in wire order as 32 hexadecimal digits.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }
