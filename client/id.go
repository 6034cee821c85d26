package client

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"
)

// IDs makes ids that rise with time: 48 bits of milliseconds, then 80 bits that are random for the
// first id of a millisecond and rise by one within it. Rising ids cost the server least. IDs is not
// safe for concurrent use.
type IDs struct {
	nowMs  func() uint64
	random *rand.Rand
	timeMs uint64
	high   uint64 // upper 16 of the 80 bits
	low    uint64
}

// NewIDs makes a generator of ids with a seed from the system.
func NewIDs() *IDs {
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	return newIDs(func() uint64 { return uint64(time.Now().UnixMilli()) }, rand.New(rand.NewChaCha8(seed)))
}

func newIDs(nowMs func() uint64, random *rand.Rand) *IDs {
	return &IDs{nowMs: nowMs, random: random}
}

// Next returns an id larger than all before it.
func (g *IDs) Next() U128 {
	if nowMs := g.nowMs(); nowMs > g.timeMs {
		g.timeMs = nowMs
		g.draw()
	} else if g.low++; g.low == 0 {
		if g.high++; g.high > 0xffff { // the 80 bits are used up: take the next millisecond
			g.timeMs++
			g.draw()
		}
	}
	return U128{Lo: g.low, Hi: g.timeMs<<16 | g.high}
}

func (g *IDs) draw() { g.high, g.low = g.random.Uint64()&0xffff, g.random.Uint64() }
