package grid

import (
	"encoding/binary"
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/wire"
)

const (
	waysCount = 16
	usedMax   = 3 // a slot survives this many passes of the hand after its last use
)

type slotState uint8

const (
	slotEmpty slotState = iota
	slotBusy            // a read fills it
	slotReady
)

// slotMeta says which page a slot holds.
type slotMeta struct {
	address  uint64
	checksum wire.Checksum // of the block
	page     uint32
	state    slotState
	used     uint8
}

// cache is a set-associative cache of equal slots. Within a set, a hand looks for a victim (CLOCK).
type cache struct {
	memory    []byte
	slotBytes uint64
	meta      []slotMeta
	tags      []uint16 // part of the hash of each slot's key, compared before the key
	hands     []uint8  // per set
	setsCount uint64
}

func newCache(a *arena.Arena, slotsCount, slotBytes uint64, name string, options arena.Options) cache {
	setsCount := max(1, slotsCount/waysCount)
	slotsCount = setsCount * waysCount
	return cache{
		memory:    a.BytesWith(slotsCount*slotBytes, arena.PageBytes, name, options),
		slotBytes: slotBytes,
		meta:      arena.SliceWith[slotMeta](a, slotsCount, name, options),
		tags:      arena.SliceWith[uint16](a, slotsCount, name, options),
		hands:     arena.SliceWith[uint8](a, setsCount, name, options),
		setsCount: setsCount,
	}
}

// hashOf spreads pages over sets. It needs little mixing, because a checksum is random.
func (c *cache) hashOf(ref *storage.Ref, page uint32) (set uint64, tag uint16) {
	hash := (binary.LittleEndian.Uint64(ref.Checksum[:]) + uint64(page)*0x9e3779b97f4a7c15) ^ ref.Address
	hash *= 0xbf58476d1ce4e5b9
	hash ^= hash >> 31
	set, _ = bits.Mul64(hash, c.setsCount)
	return set, uint16(hash)
}

// find returns the slot that holds the page or that a read is filling with it.
func (c *cache) find(ref *storage.Ref, page uint32) (slot uint32, ok bool) {
	set, tag := c.hashOf(ref, page)
	first := uint32(set) * waysCount
	tags := c.tags[first : first+waysCount]
	for way, t := range tags {
		if t != tag {
			continue
		}
		m := &c.meta[first+uint32(way)]
		if m.state != slotEmpty && m.address == ref.Address && m.page == page && m.checksum == ref.Checksum {
			return first + uint32(way), true
		}
	}
	return 0, false
}

// take makes a slot busy for the page. It returns false if all slots of the page's set are busy.
func (c *cache) take(ref *storage.Ref, page uint32) (slot uint32, ok bool) {
	set, tag := c.hashOf(ref, page)
	first := uint32(set) * waysCount
	for range waysCount * (usedMax + 1) {
		way := uint32(c.hands[set])
		c.hands[set] = uint8((way + 1) % waysCount)
		m := &c.meta[first+way]
		if m.state == slotBusy {
			continue
		}
		if m.state == slotReady && m.used > 0 {
			m.used--
			continue
		}
		*m = slotMeta{address: ref.Address, checksum: ref.Checksum, page: page, state: slotBusy}
		c.tags[first+way] = tag
		return first + way, true
	}
	return 0, false
}

func (c *cache) ready(slot uint32) {
	assert.That(c.meta[slot].state == slotBusy, "a slot that was filled was busy")
	c.meta[slot].state, c.meta[slot].used = slotReady, 1
}

func (c *cache) drop(slot uint32) {
	assert.That(c.meta[slot].state == slotBusy, "a slot that is dropped was busy")
	c.meta[slot] = slotMeta{}
}

func (c *cache) bytes(slot uint32) []byte {
	start := uint64(slot) * c.slotBytes
	return c.memory[start : start+c.slotBytes : start+c.slotBytes]
}

// lookup returns the page's bytes, or nil, and marks them as used.
func (c *cache) lookup(ref *storage.Ref, page uint32) []byte {
	slot, ok := c.find(ref, page)
	if !ok {
		return nil
	}
	m := &c.meta[slot]
	if m.state != slotReady {
		return nil
	}
	m.used = min(m.used+1, usedMax)
	return c.bytes(slot)
}
