package memory

import (
	"ledger/accounting"
	"ledger/internal/assert"
)

type expiry struct {
	expiresAtNs uint64
	ordinal     accounting.TransferOrdinal
}

func (e expiry) before(other expiry) bool {
	if e.expiresAtNs != other.expiresAtNs {
		return e.expiresAtNs < other.expiresAtNs
	}
	return e.ordinal < other.ordinal
}

// expiryHeap is the set of expiries, the smallest first. It knows the place of each, so any of them
// can be removed.
type expiryHeap struct {
	items  []expiry
	places map[accounting.TransferOrdinal]int // index into items
}

func newExpiryHeap(count int) expiryHeap {
	return expiryHeap{items: make([]expiry, 0, count), places: make(map[accounting.TransferOrdinal]int, count)}
}

func (h *expiryHeap) first() (expiry, bool) {
	if len(h.items) == 0 {
		return expiry{}, false
	}
	return h.items[0], true
}

func (h *expiryHeap) add(e expiry) {
	_, found := h.places[e.ordinal]
	assert.That(!found, "a transfer expires once")
	h.items = append(h.items, e)
	h.up(len(h.items)-1, e)
}

func (h *expiryHeap) remove(e expiry) {
	place, found := h.places[e.ordinal]
	assert.That(found, "an expiry that is removed was there")
	assert.That(h.items[place] == e, "an expiry is removed by its own time")
	delete(h.places, e.ordinal)
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	if last == e {
		return
	}
	h.down(place, last)
	h.up(h.places[last.ordinal], last)
}

// up places e at index or above.
func (h *expiryHeap) up(index int, e expiry) {
	for index > 0 {
		parent := (index - 1) / 2
		if !e.before(h.items[parent]) {
			break
		}
		h.put(index, h.items[parent])
		index = parent
	}
	h.put(index, e)
}

// down places e at index or below.
func (h *expiryHeap) down(index int, e expiry) {
	for {
		child := 2*index + 1
		if child >= len(h.items) {
			break
		}
		if child+1 < len(h.items) && h.items[child+1].before(h.items[child]) {
			child++
		}
		if !h.items[child].before(e) {
			break
		}
		h.put(index, h.items[child])
		index = child
	}
	h.put(index, e)
}

func (h *expiryHeap) put(index int, e expiry) {
	h.items[index] = e
	h.places[e.ordinal] = index
}
