package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Release is a client's or server's release: major (16 bits), minor (8), patch (8). Releases
// compare as integers.
type Release uint32

const (
	// ReleaseClientMin is the oldest client that is served (eviction reason 2 below it).
	ReleaseClientMin = Release(0<<16 | 16<<8 | 4) // 0.16.4
	// ReleaseClientMax is the newest client that is served by default (eviction reason 3 above it).
	// The patches of 0.17 kept the protocol. A client of 0.18 could mean something else by the same
	// bytes, so the operator decides whether it is served.
	ReleaseClientMax = Release(0<<16 | 17<<8 | 255) // 0.17.255
	// ReleaseCurrent is the client release whose protocol this package speaks as a client.
	ReleaseCurrent = Release(0<<16 | 17<<8 | 9) // 0.17.9
	// ReleaseSpokenMin is the oldest client release whose protocol this package speaks as a client:
	// older servers do not know the creates of 0.17.
	ReleaseSpokenMin = Release(0<<16 | 17<<8) // 0.17.0
	// ReleaseAnnounced is what a server states in pong_client and eviction: the newest release whose
	// protocol it is known to speak, whatever clients the operator lets in. Clients require that it
	// is not 0, and print it in their log; they compare it with nothing. Source: wire protocol, 2.4
	// and 4.9.
	ReleaseAnnounced = ReleaseCurrent
)

// ReleaseOf returns major.minor.patch.
func ReleaseOf(major uint16, minor, patch uint8) Release {
	return Release(uint32(major)<<16 | uint32(minor)<<8 | uint32(patch))
}

// Older returns the release as which a client tries again after a server has evicted r as too
// high, and announced a release. It is the announced one if the client speaks that. A server may
// serve less than it announces; then it is the oldest that the client speaks. ok is false if there
// is nothing left to try.
func (r Release) Older(announced Release) (older Release, ok bool) {
	switch {
	case announced >= ReleaseSpokenMin && announced < r:
		return announced, true
	case announced >= r && r > ReleaseSpokenMin:
		return ReleaseSpokenMin, true
	}
	return 0, false
}

// Parts returns the three numbers of r.
func (r Release) Parts() (major uint16, minor, patch uint8) {
	return uint16(r >> 16), uint8(r >> 8), uint8(r)
}

// String returns major.minor.patch, as in "0.17.9".
func (r Release) String() string {
	major, minor, patch := r.Parts()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// ParseRelease reads "major.minor.patch" with numbers of at most 65535, 255 and 255.
func ParseRelease(text string) (Release, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return 0, fmt.Errorf("release %q: want three numbers, as in 0.17.9", text)
	}
	var numbers [3]uint64
	for i, bitsCount := range [3]int{16, 8, 8} {
		number, err := strconv.ParseUint(parts[i], 10, bitsCount)
		if err != nil {
			return 0, fmt.Errorf("release %q: number %d must be 0..%d", text, i+1, 1<<bitsCount-1)
		}
		numbers[i] = number
	}
	return ReleaseOf(uint16(numbers[0]), uint8(numbers[1]), uint8(numbers[2])), nil
}
