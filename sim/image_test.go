package sim

import (
	"math/rand/v2"
	"testing"
)

// Goal: what an image keeps of its comparisons is never older than its chunks. After any sequence
// of writes, syncs, damage and power cuts it answers as if it had kept nothing.
func TestImageForgetsWhatChanged(t *testing.T) {
	const sector, size = 512, 4 * chunkBytes
	r := rand.New(rand.NewPCG(1, 2))
	m := newImage(sector)
	m.allocate(size)
	var asked [32][]byte // at a place each; some are there, and some were
	var at [32]uint64
	counts := map[bool]int{}
	for range 20_000 {
		offsetBytes := r.Uint64N(size/sector-8) * sector
		i := r.IntN(len(asked))
		switch r.IntN(9) {
		case 0, 1:
			data := make([]byte, (1+r.IntN(8))*sector)
			data[0] = byte(r.IntN(3))
			m.write(offsetBytes, data, r.IntN(2) == 0)
		case 2:
			m.sync(m.order)
		case 3:
			m.leave(r, fate(r.IntN(int(fatesCount))), offsetBytes, make([]byte, 2*sector))
		case 4:
			m.revert(offsetBytes, 2*sector)
		case 5:
			if r.IntN(8) == 0 {
				m.powerCut(r)
				m.settle()
				if r.IntN(4) == 0 {
					m = m.clone()
				}
			}
		case 6:
			if asked[i] != nil && r.IntN(4) == 0 { // what was damaged may come back
				m.put(at[i], asked[i])
			}
		case 7:
			if r.IntN(8) == 0 {
				m.damage(r, offsetBytes, sector)
			}
		case 8:
			at[i], asked[i] = offsetBytes, m.bytes(offsetBytes, (1+r.Uint64N(8))*sector)
		}
		for i, data := range asked {
			if data == nil {
				continue
			}
			is := m.holdsDurable(at[i], data)
			want := m.compareDurable(at[i], data)
			for sector := at[i] / m.sectorBytes; sector < (at[i]+uint64(len(data)))/m.sectorBytes; sector++ {
				want = want && !m.unreadable[sector]
			}
			if is != want {
				t.Fatalf("the image says %v about %d bytes at %d, want %v", is, len(data), at[i], want)
			}
			counts[is]++
		}
	}
	if counts[true] < 1000 || counts[false] < 1000 {
		t.Errorf("the answers are %v: the test shows little", counts)
	}
}
