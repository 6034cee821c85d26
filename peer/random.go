package peer

import (
	"github.com/zeebo/blake3"

	"ledger/internal/assert"
)

// SeedBytes is the size of a seed.
const SeedBytes = 32

// random makes nonces and jitter from a secret seed: BLAKE3 of the seed and a counter. The same
// seed gives the same numbers. Without the seed nobody can foretell them.
type random struct {
	input [SeedBytes + 8]byte
	count uint64
}

func newRandom(seed [SeedBytes]byte) (r random) {
	copy(r.input[:], seed[:])
	return r
}

func (r *random) next() [32]byte {
	putLittle64(r.input[SeedBytes:], r.count)
	r.count++
	return blake3.Sum256(r.input[:])
}

// nonce is never zero, and never the same again.
func (r *random) nonce() (n Nonce) {
	for n.IsZero() {
		sum := r.next()
		n = Nonce(sum[:NonceBytes])
	}
	return n
}

// below draws 0..limit-1. Limits are so small that the error of the remainder does not matter.
func (r *random) below(limit uint64) uint64 {
	assert.That(limit > 0, "there is a number below the limit")
	sum := r.next()
	return little64(sum[:]) % limit
}
