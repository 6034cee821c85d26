package sim

import "bytes"

// known is an answer of holdsDurable, by the first of the bytes that were asked for. It is true as
// long as no chunk of them has changed since. The bytes themselves never change.
type known struct {
	offsetBytes, lengthBytes uint64
	changed                  uint64 // the newest change of a chunk
	is                       bool
}

// holdsDurable tells whether these bytes are what reads return, and what they return after a power
// cut. They must never change: the answer is kept until one of their chunks changes.
func (m *Image) holdsDurable(offsetBytes uint64, data []byte) bool {
	end := offsetBytes + uint64(len(data))
	for at := offsetBytes; len(m.unreadable) > 0 && at < end; at += m.sectorBytes {
		if m.unreadable[at/m.sectorBytes] {
			return false
		}
	}
	if end > m.sizeBytes || len(data) == 0 {
		return end <= m.sizeBytes
	}
	now := known{offsetBytes: offsetBytes, lengthBytes: uint64(len(data))}
	for index := offsetBytes / chunkBytes; index <= (end-1)/chunkBytes && index < uint64(len(m.chunks)); index++ {
		now.changed = max(now.changed, m.chunks[index].changed)
	}
	before := m.known[&data[0]]
	if now.is = before.is; before == now {
		return now.is
	}
	now.is = m.compareDurable(offsetBytes, data)
	m.known[&data[0]] = now
	return now.is
}

func (m *Image) compareDurable(offsetBytes uint64, data []byte) bool {
	is := true
	same := func(have *[chunkBytes]byte, from, to, at uint64) bool {
		if have == nil {
			return allZero(data[at : at+to-from])
		}
		return bytes.Equal(have[from:to], data[at:at+to-from])
	}
	parts(offsetBytes, uint64(len(data)), func(index, from, to, at uint64) {
		var c chunk
		if index < uint64(len(m.chunks)) {
			c = m.chunks[index]
		}
		is = is && same(c.now, from, to, at) && (!c.isApart || same(c.durable, from, to, at))
	})
	return is
}
