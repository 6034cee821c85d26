package table

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// Goal: the ordinals of a value, forwards, backwards and as bits, are those that decoding the page
// entry by entry gives, from any entry on, for values of every width, however many distances of
// each length there are.
func TestOrdinalsOfAValue(t *testing.T) {
	random := rand.New(rand.NewPCG(seeded.Seed(t), 1))
	for _, tree := range []storage.TreeID{storage.TreeTransferDebit, storage.TreeTransferUser128, storage.TreeTransferUser64,
		storage.TreeTransferCode, storage.TreeAccountLedger} {
		for round := range 30 {
			l := variants()["1024"]
			if round%2 == 0 {
				l = variants()["production"]
			}
			s := ShapeOf(l, tree)
			buffer := make([]byte, l.BlockBytes)
			var b Builder
			b.Reset(&s, 1+random.IntN(2))
			b.Begin(buffer)
			value, ordinal := uint64(1+random.IntN(3)), uint64(random.IntN(1000))
			gap := 1 << (2 * random.IntN(9))
			for {
				if random.IntN(1+round*10) == 0 {
					value += uint64(1 + random.IntN(1<<random.IntN(12)))
					ordinal = uint64(random.IntN(1000))
				}
				ordinal += 1 + uint64(random.IntN(gap))
				if random.IntN(20) == 0 {
					ordinal += uint64(random.IntN(1 << 22))
				}
				if value >= 1<<16 || ordinal >= 1<<32 || !b.AddWords(s.PostingWords(wire.U128{Lo: value}, ordinal), false, nil) {
					break
				}
			}
			b.Finish(cluster, 1, nil)
			header := block.HeaderPage(buffer[:l.PageBytes])
			for number := uint32(1); number <= header.DataPages(); number++ {
				page := buffer[number*l.PageBytes : (number+1)*l.PageBytes]
				all := make([]Words, s.Count(page))
				s.DecodeWords(page, 0, all)
				if s.Ordinals(page, len(all), &all[0], make([]uint64, 1)) != 0 || !s.Mark(page, len(all), &all[0], 0, make([]uint64, 1)) {
					t.Fatal("entries behind the last one")
				}
				for range 20 {
					checkOrdinals(t, &s, page, all, random.IntN(len(all)), 1+random.IntN(len(all)+10), random.IntN(4) == 0)
				}
			}
		}
	}
}

func checkOrdinals(t *testing.T, s *Shape, page []byte, all []Words, index, room int, other bool) {
	t.Helper()
	key := all[index]
	if other {
		key.B ^= 1
		key.A ^= 1 << 50
	}
	got, want := make([]uint64, room), []uint64{}
	for i := index; i < len(all) && len(want) < room && all[i].A == key.A && all[i].B == key.B; i++ {
		want = append(want, all[i].C)
	}
	equal(t, "forwards", got[:s.Ordinals(page, index, &key, got)], want)
	want = want[:0]
	for i := index; i >= 0 && len(want) < room && all[i].A == key.A && all[i].B == key.B; i-- {
		want = append(want, all[i].C)
	}
	equal(t, "backwards", got[:s.OrdinalsBack(page, index, &key, got)], want)

	first := all[index].C - min(all[index].C, uint64(room%70))
	bits := make([]uint64, 1+room/3)
	end := first + uint64(len(bits))*64
	want = want[:0]
	i := index
	for ; i < len(all) && all[i].C < end && all[i].A == key.A && all[i].B == key.B; i++ {
		want = append(want, all[i].C)
	}
	if more := s.Mark(page, index, &key, first, bits); more != (i == len(all)) {
		t.Fatalf("more is %v after %d of %d entries", more, i, len(all))
	}
	got = got[:0]
	for at := first; at < end; at++ {
		if bits[(at-first)/64]>>((at-first)%64)&1 != 0 {
			got = append(got, at)
		}
	}
	equal(t, "bits", got, want)
}

func equal(t *testing.T, what string, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d ordinals, want %d: %v, want %v", what, len(got), len(want), got, want)
	}
}
