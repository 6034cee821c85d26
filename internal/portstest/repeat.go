package portstest

// Repeat fills data with copies of pattern. It copies longer and longer parts. Tests fill whole
// message slots with it; byte by byte, and more so under the race detector, that would be most of
// their time.
func Repeat(data, pattern []byte) {
	for done := copy(data, pattern); done < len(data); {
		done += copy(data[done:], data[:done])
	}
}
