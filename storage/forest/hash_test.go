package forest

import (
	"testing"

	"ledger/accounting"
	"ledger/arena"
)

// Goal: both hash tables against maps, with removals in reverse order, resets small and large, and numbers that collide.
func TestHashTables(t *testing.T) {
	random := seeded(t)
	a := arena.New()
	defer a.Close()
	const most = 500
	numbers, ids := newNumberTable(a, most, "test", 0), newIDTable(a, most, "test", 0)
	for range 300 {
		var keys []uint64
		of := map[uint64]uint32{}
		spread := uint64(1) << random.IntN(40)
		for step := range random.IntN(2 * most) {
			if random.IntN(3) == 0 && len(keys) > 0 {
				last := keys[len(keys)-1]
				keys = keys[:len(keys)-1]
				numbers.removeLast(last)
				ids.removeLast(hashID(accounting.U128{Lo: last}), of[last])
				delete(of, last)
			} else if key := random.Uint64N(spread); len(keys) < most {
				if _, ok := of[key]; !ok {
					of[key] = uint32(len(keys))
					numbers.insert(key, of[key])
					ids.insert(hashID(accounting.U128{Lo: key}), of[key])
					keys = append(keys, key)
				}
			}
			key := random.Uint64N(spread)
			want, wantOk := of[key]
			if got, ok := numbers.find(key); ok != wantOk || ok && got != want {
				t.Fatalf("step %d: number %d is %d (%v), want %d (%v)", step, key, got, ok, want, wantOk)
			}
			found := false
			hash := hashID(accounting.U128{Lo: key})
			for at := ids.start(hash); ; at++ {
				index, ok := ids.probe(&at, hash)
				if !ok {
					break
				}
				if index < uint32(len(keys)) && keys[index] == key {
					found = true
					break
				}
			}
			if found != wantOk {
				t.Fatalf("step %d: id %d found %v, want %v", step, key, found, wantOk)
			}
		}
		numbers.reset(func(i uint32) uint64 { return keys[i] })
		ids.reset()
		for i, slot := range numbers.slots {
			if slot != 0 || ids.slots[i] != 0 {
				t.Fatalf("slot %d is in use after a reset", i)
			}
		}
	}
}
