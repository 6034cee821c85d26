// Package assert holds the checks that stay on in production.
//
// A broken assertion means that our own code broke its promise: the process stops, because a
// stopped replica is safe and a wrong one is not. Faults of the disk, the network, a peer or a
// client are never asserted; they are handled. The tests inline; formatting happens only on the way
// down.
package assert

import "fmt"

// That crashes unless condition holds. what says what is true ("a finished write was in flight").
func That(condition bool, what string) {
	if !condition {
		fail(what)
	}
}

// Equal crashes unless got == want, and prints both.
func Equal[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](got, want T, what string) {
	if got != want {
		failPair(what, "is", uint64(got), "want", uint64(want))
	}
}

// AtMost crashes unless value <= limit, and prints both.
func AtMost[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](value, limit T, what string) {
	if value > limit {
		failPair(what, "is", uint64(value), "at most", uint64(limit))
	}
}

// Below crashes unless value < limit, and prints both. Use it for an index against its count.
func Below[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](value, limit T, what string) {
	if value >= limit {
		failPair(what, "is", uint64(value), "below", uint64(limit))
	}
}

//go:noinline
func fail(what string) {
	panic("broken assertion: " + what)
}

//go:noinline
func failPair(what, leftName string, left uint64, rightName string, right uint64) {
	panic(fmt.Sprintf("broken assertion: %s: %s %d (signed %d), %s %d (signed %d)", what, leftName, left, int64(left), rightName, right,
		int64(right)))
}
