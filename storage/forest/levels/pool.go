package levels

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
)

// tablePool is the memory of the lists of all runs. Each list is a slice whose capacity is a power
// of two. Lists are cut from three parallel arrays.
type tablePool struct {
	tables  []storage.Table
	fences  []fence
	filters []filterRef
	used    uint64
	free    [40][]uint32 // offsets of free lists, by class: the logarithm of the capacity
}

func newTablePool(a *arena.Arena, capacity uint64) *tablePool {
	const name = "manifest"
	index := arena.Options{Class: arena.Index}
	p := &tablePool{
		tables:  arena.SliceWith[storage.Table](a, capacity, name, index),
		fences:  arena.SliceWith[fence](a, capacity, name, index),
		filters: arena.SliceWith[filterRef](a, capacity, name, index),
	}
	for class := range p.free {
		p.free[class] = make([]uint32, 0, 1024) // hardly ever are more lists of a class free at once
	}
	return p
}

// grow gives a list room for one more table and keeps its content. It returns false if the pool is
// full.
func (p *tablePool) grow(l *tableList) bool {
	class := 0
	for 1<<class <= cap(l.tables) {
		class++
	}
	size := uint64(1) << class
	var offset uint64
	if free := p.free[class]; len(free) > 0 {
		offset = uint64(free[len(free)-1])
		p.free[class] = free[:len(free)-1]
	} else {
		if p.used+size > uint64(len(p.tables)) {
			return false
		}
		offset = p.used
		p.used += size
	}
	bigger := tableList{
		tables:  p.tables[offset : offset : offset+size],
		fences:  p.fences[offset : offset : offset+size],
		filters: p.filters[offset : offset : offset+size],
		offset:  uint32(offset),
	}
	bigger.tables = append(bigger.tables, l.tables...)
	bigger.fences = append(bigger.fences, l.fences...)
	bigger.filters = append(bigger.filters, l.filters...)
	p.release(l)
	*l = bigger
	return true
}

// release gives a list's memory back.
func (p *tablePool) release(l *tableList) {
	if cap(l.tables) > 0 {
		class := 0
		for 1<<class < cap(l.tables) {
			class++
		}
		p.free[class] = append(p.free[class], l.offset)
	}
	*l = tableList{}
}

// filterPool is the memory of filters. A slot holds the largest filter of a table.
type filterPool struct {
	memory    []byte
	slotBytes uint64
	used      uint32
	free      []uint32
}

func newFilterPool(a *arena.Arena, slotBytes uint64, slots uint64) filterPool {
	memory := a.BytesWith(slotBytes*slots, 64, "filters", arena.Options{Class: arena.Index, HugePages: true})
	return filterPool{memory: memory, slotBytes: slotBytes, free: make([]uint32, 0, 1<<16)}
}

// expected is the memory that the filters of a number of ids will take in an empty pool. Some
// tables are not full.
func (p *filterPool) expected(ids, entriesMax uint64) []byte {
	slots := ids/entriesMax + ids/entriesMax/16
	return p.memory[:min(slots*p.slotBytes, uint64(len(p.memory)))]
}

// get takes a slot. It returns 0 if none is left.
func (p *filterPool) get() uint32 {
	if n := len(p.free); n > 0 {
		slot := p.free[n-1]
		p.free = p.free[:n-1]
		return slot
	}
	if uint64(p.used+1)*p.slotBytes > uint64(len(p.memory)) {
		return 0
	}
	p.used++
	return p.used
}

func (p *filterPool) put(slot uint32) {
	if slot != 0 {
		p.free = append(p.free, slot)
	}
}

func (p *filterPool) slot(slot uint32) []byte {
	assert.That(slot > 0, "a filter has a slot")
	start := uint64(slot-1) * p.slotBytes
	return p.memory[start : start+p.slotBytes]
}

// of returns a table's filter.
func (p *filterPool) of(f filterRef) []byte {
	start := uint64(f.slot-1) * p.slotBytes
	return p.memory[start : start+uint64(f.bytes)]
}

// reset takes all lists back.
func (p *tablePool) reset() {
	p.used = 0
	for class := range p.free {
		p.free[class] = p.free[class][:0]
	}
}

// reset takes all slots back.
func (p *filterPool) reset() { p.used, p.free = 0, p.free[:0] }
