package levels

import (
	"slices"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage"
)

// Goal: lists of the pool keep their tables while others grow and go, and no two share memory. A
// pool that is full says so and leaves the list as it is.
func TestTablePoolAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	for range 50 {
		a := arena.New()
		pool := newTablePool(a, 200)
		type pair struct {
			list tableList
			want []storage.Table
		}
		var pairs []*pair
		isFull := false
		for range 600 {
			switch {
			case len(pairs) == 0 || random.IntN(8) == 0:
				pairs = append(pairs, &pair{})
			case random.IntN(12) == 0:
				at := random.IntN(len(pairs))
				pool.release(&pairs[at].list)
				if pairs[at].list.count() != 0 {
					t.Fatal("a list that was released has tables")
				}
				pairs = slices.Delete(pairs, at, at+1)
			default:
				p := pairs[random.IntN(len(pairs))]
				if len(p.list.tables) == cap(p.list.tables) && !pool.grow(&p.list) {
					isFull = true
					break
				}
				table := drawTable(random)
				p.list.tables = append(p.list.tables, table)
				p.list.fences = append(p.list.fences, fenceOf(&table.KeyMax))
				p.list.filters = append(p.list.filters, filterRef{slot: uint32(table.Address)})
				p.want = append(p.want, table)
			}
			for _, p := range pairs {
				if !slices.Equal(p.list.tables, p.want) {
					t.Fatalf("a list of %d tables has others", len(p.want))
				}
				for i := range p.want {
					if p.list.fences[i] != fenceOf(&p.want[i].KeyMax) || p.list.filters[i].slot != uint32(p.want[i].Address) {
						t.Fatalf("table %d has another fence or filter", i)
					}
				}
			}
		}
		size := uint64(0) // of all lists, in use or free
		for _, p := range pairs {
			size += uint64(cap(p.list.tables))
		}
		for class, free := range pool.free {
			size += uint64(len(free)) << class
		}
		if size != pool.used {
			t.Fatalf("lists have %d places, %d are used", size, pool.used)
		}
		if !isFull {
			t.Log("the pool was never full")
		}
		a.Close()
	}
}

// Goal: filters have memory of their own, as many as fit, and a slot that was given back is used
// again.
func TestFilterPool(t *testing.T) {
	random := seeded.Rand(t)
	a := arena.New()
	defer a.Close()
	const slots, slotBytes = 20, 64
	pool := newFilterPool(a, slotBytes, slots)
	in := map[uint32]byte{}
	var order []uint32
	for range 5000 {
		if random.IntN(2) == 0 {
			slot := pool.get()
			if slot == 0 {
				if len(in) != slots {
					t.Fatalf("no slot is left while %d are in use", len(in))
				}
				continue
			}
			if _, ok := in[slot]; ok {
				t.Fatalf("slot %d has two owners", slot)
			}
			in[slot] = byte(random.Uint32())
			order = append(order, slot)
			for i := range pool.slot(slot) {
				pool.slot(slot)[i] = in[slot]
			}
		} else if len(order) > 0 {
			at := random.IntN(len(order))
			for i, b := range pool.slot(order[at]) {
				if b != in[order[at]] {
					t.Fatalf("byte %d of slot %d belongs to another one", i, order[at])
				}
			}
			pool.put(order[at])
			delete(in, order[at])
			order = slices.Delete(order, at, at+1)
		}
	}
	pool.put(0) // no filter
	if len(order) == slots && pool.get() != 0 {
		t.Error("more slots than there is memory for")
	}
}
