package sim

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
)

// Image is the medium: the bytes that reads return, and the bytes that would survive a power cut.
//
// It consists of chunks. Most of them are the same in both, and share their bytes; a clone shares
// the bytes of all chunks. So a fork and a crash cost only what was written around them.
type Image struct {
	sectorBytes uint64
	sizeBytes   uint64 // of the file; bytes of no chunk read as zeros
	usedBytes   uint64 // the end of the last write
	chunks      []chunk
	apart       []uint64            // chunks whose durable bytes differ from the others
	unused      []*[chunkBytes]byte // of chunks, to be used again
	volatile    []volatileWrite
	order       uint64 // of volatile writes
	changes     uint64 // of chunks
	known       map[*byte]known
	unreadable  map[uint64]bool // sectors that return an error until they are written
	tainted     map[uint64]bool // sectors that were changed behind the replica's back, and not written since
	limitBytes  uint64          // Allocate beyond it finds no space
}

const chunkBytes = 4 << 10

// chunk is a part of the medium. nil: all zeros.
type chunk struct {
	now     *[chunkBytes]byte // with all writes
	durable *[chunkBytes]byte // without the writes that no sync has covered; valid if isApart
	isApart bool
	isOwn   bool   // no other image has these bytes
	changed uint64 // the newest of the image's changes that may have changed what the chunk gives
}

// volatileWrite is a write that has completed but is not durable.
type volatileWrite struct {
	order       uint64
	offsetBytes uint64
	data        []byte
	tainted     []uint64 // sectors beneath that were tainted, and are again if a power cut loses them
}

func newImage(sectorBytes uint32) *Image {
	return &Image{sectorBytes: uint64(sectorBytes), unreadable: map[uint64]bool{}, tainted: map[uint64]bool{}, limitBytes: ^uint64(0),
		known: map[*byte]known{}}
}

// clone copies an image at rest, as a crash leaves it.
func (m *Image) clone() *Image {
	c := newImage(uint32(m.sectorBytes))
	c.sizeBytes, c.usedBytes, c.changes = m.sizeBytes, m.usedBytes, m.changes
	if len(m.apart) > 0 {
		panic(violation{"an image is cloned that is not at rest"})
	}
	for i := range m.chunks {
		m.chunks[i].isOwn = false
	}
	c.chunks = append([]chunk(nil), m.chunks...)
	for sector := range m.unreadable { // a copy of a set: order does not show
		c.unreadable[sector] = true
	}
	for sector := range m.tainted {
		c.tainted[sector] = true
	}
	return c
}

// allocate makes the file at least sizeBytes long. New bytes read as zeros.
func (m *Image) allocate(sizeBytes uint64) { m.sizeBytes = max(m.sizeBytes, sizeBytes) }

// reach makes the file long enough for bytes that are written.
func (m *Image) reach(sizeBytes uint64) {
	m.allocate(sizeBytes)
	m.usedBytes = max(m.usedBytes, sizeBytes)
}

// parts calls do for the parts of a range that lie in one chunk each: the chunk, the place in it,
// and the place in the range.
func parts(offsetBytes, lengthBytes uint64, do func(index, from, to, at uint64)) {
	for at := uint64(0); at < lengthBytes; {
		from := (offsetBytes + at) % chunkBytes
		to := min(chunkBytes, from+lengthBytes-at)
		do((offsetBytes+at)/chunkBytes, from, to, at)
		at += to - from
	}
}

// own returns a chunk that may be changed.
func (m *Image) own(index uint64) *chunk {
	for index >= uint64(len(m.chunks)) {
		m.chunks = append(m.chunks, chunk{})
	}
	c := &m.chunks[index]
	m.changes++
	c.changed = m.changes
	if !c.isOwn {
		c.isOwn = true
		c.now = m.copied(c.now)
	}
	return c
}

// part returns the chunk, with durable bytes of its own.
func (m *Image) part(index uint64) *chunk {
	c := m.own(index)
	if !c.isApart {
		c.isApart = true
		c.durable = m.copied(c.now)
		m.apart = append(m.apart, index)
	}
	return c
}

// copied returns bytes that no other chunk has.
func (m *Image) copied(bytes *[chunkBytes]byte) *[chunkBytes]byte {
	last := len(m.unused) - 1
	switch {
	case bytes == nil:
		return new([chunkBytes]byte)
	case last < 0:
		return (*[chunkBytes]byte)(slices.Clone(bytes[:]))
	}
	c := m.unused[last]
	m.unused = m.unused[:last]
	*c = *bytes
	return c
}

// write puts data on the medium. If it is not durable, a power cut may lose it, and data must not
// change until then.
func (m *Image) write(offsetBytes uint64, data []byte, durable bool) {
	m.reach(offsetBytes + uint64(len(data)))
	if len(m.unreadable) > 0 {
		for at := offsetBytes; at < offsetBytes+uint64(len(data)); at += m.sectorBytes {
			delete(m.unreadable, at/m.sectorBytes)
		}
	}
	var beneath []uint64
	for at := offsetBytes; at < offsetBytes+uint64(len(data)) && len(m.tainted) > 0; at += m.sectorBytes {
		if sector := at / m.sectorBytes; m.tainted[sector] {
			delete(m.tainted, sector)
			beneath = append(beneath, sector)
		}
	}
	if durable {
		m.put(offsetBytes, data)
		return
	}
	parts(offsetBytes, uint64(len(data)), func(index, from, to, at uint64) {
		copy(m.part(index).now[from:to], data[at:])
	})
	m.order++
	m.volatile = append(m.volatile, volatileWrite{m.order, offsetBytes, data, beneath})
}

// writeDurable changes only the bytes that survive a power cut.
func (m *Image) writeDurable(offsetBytes uint64, data []byte) {
	m.reach(offsetBytes + uint64(len(data)))
	parts(offsetBytes, uint64(len(data)), func(index, from, to, at uint64) {
		copy(m.part(index).durable[from:to], data[at:])
	})
}

// overwrite puts whole sectors on the medium without the knowledge of the replica.
func (m *Image) overwrite(offsetBytes uint64, data []byte) {
	m.write(offsetBytes, data, true)
	m.taint(offsetBytes, uint64(len(data)))
}

// sync makes the volatile writes up to order durable.
func (m *Image) sync(order uint64) {
	count := 0
	for count < len(m.volatile) && m.volatile[count].order <= order {
		m.writeDurable(m.volatile[count].offsetBytes, m.volatile[count].data)
		count++
	}
	m.volatile = m.volatile[count:]
}

// read fills buffer with the written bytes. It returns the number of bytes in the file, and an
// error for an unreadable sector.
func (m *Image) read(offsetBytes uint64, buffer []byte) (int, error) {
	if offsetBytes >= m.sizeBytes {
		return 0, nil
	}
	if len(m.unreadable) > 0 {
		for at := offsetBytes; at < offsetBytes+uint64(len(buffer)); at += m.sectorBytes {
			if m.unreadable[at/m.sectorBytes] {
				return 0, errUnreadable
			}
		}
	}
	count := min(uint64(len(buffer)), m.sizeBytes-offsetBytes)
	parts(offsetBytes, count, func(index, from, to, at uint64) {
		if index < uint64(len(m.chunks)) && m.chunks[index].now != nil {
			copy(buffer[at:], m.chunks[index].now[from:to])
		} else {
			clear(buffer[at : at+to-from])
		}
	})
	return int(count), nil
}

// bytes returns written bytes, also of unreadable sectors. Bytes of no chunk are zeros.
func (m *Image) bytes(offsetBytes, lengthBytes uint64) []byte {
	out := make([]byte, lengthBytes)
	parts(offsetBytes, lengthBytes, func(index, from, to, at uint64) {
		if index < uint64(len(m.chunks)) && m.chunks[index].now != nil {
			copy(out[at:], m.chunks[index].now[from:to])
		}
	})
	return out
}

// holds tells whether the written bytes at offsetBytes are these.
func (m *Image) holds(offsetBytes uint64, data []byte) bool {
	return bytes.Equal(m.bytes(offsetBytes, uint64(len(data))), data)
}

// revert makes written bytes those that would survive a power cut.
func (m *Image) revert(offsetBytes, lengthBytes uint64) {
	parts(offsetBytes, lengthBytes, func(index, from, to, _ uint64) {
		if index < uint64(len(m.chunks)) && m.chunks[index].isApart {
			copy(m.own(index).now[from:to], m.chunks[index].durable[from:to])
		}
	})
}

var errUnreadable = errors.New("a sector is unreadable")

// fate is what happens to a write that a crash interrupts, sector by sector.
type fate uint8

const (
	fateLost fate = iota
	fateWhole
	fateTorn      // up to some sector
	fateScattered // each sector by itself
	fatesCount
)

// leave applies a write that was interrupted to the durable bytes.
func (m *Image) leave(random *rand.Rand, f fate, offsetBytes uint64, data []byte) {
	m.reach(offsetBytes + uint64(len(data)))
	sectors := uint64(len(data)) / m.sectorBytes
	until := sectors
	if f == fateTorn {
		until = random.Uint64N(sectors + 1)
	}
	for i := range sectors {
		if f == fateLost || i >= until || f == fateScattered && random.IntN(2) == 0 {
			continue
		}
		from, to := i*m.sectorBytes, (i+1)*m.sectorBytes
		m.writeDurable(offsetBytes+from, data[from:to])
		delete(m.unreadable, (offsetBytes+from)/m.sectorBytes)
		delete(m.tainted, (offsetBytes+from)/m.sectorBytes)
	}
}

// powerCut forgets writes that were not durable. Each volatile write may be lost, torn, or whole.
func (m *Image) powerCut(random *rand.Rand) {
	for i := range m.volatile {
		w := &m.volatile[i]
		for _, sector := range w.tainted {
			m.tainted[sector] = true // until leave has it on the medium
		}
		m.leave(random, fate(random.IntN(int(fatesCount))), w.offsetBytes, w.data)
	}
	m.volatile = m.volatile[:0]
}

// settle makes the image the one that the next start reads.
func (m *Image) settle() {
	m.volatile = nil
	for _, index := range m.apart {
		c := &m.chunks[index]
		m.changes++
		m.unused = append(m.unused, c.now) // nobody else has them: the chunk was the image's own
		c.now, c.durable, c.isApart, c.changed = c.durable, nil, false, m.changes
	}
	m.apart = m.apart[:0]
}

// damage changes the medium without the knowledge of the replica.
func (m *Image) damage(random *rand.Rand, offsetBytes, lengthBytes uint64) {
	m.reach(offsetBytes + lengthBytes)
	sector := (offsetBytes + random.Uint64N(lengthBytes)) / m.sectorBytes * m.sectorBytes
	m.tainted[sector/m.sectorBytes] = true
	from := max(sector, offsetBytes)
	to := min(sector+m.sectorBytes, offsetBytes+lengthBytes)
	part := m.bytes(from, to-from)
	switch random.IntN(4) {
	case 0: // a flipped bit
		at := random.Uint64N(to - from)
		part[at] ^= 1 << random.IntN(8)
	case 1: // a sector of zeros, unless it is that already
		if allZero(part) {
			part[0] = 1
		} else {
			clear(part)
		}
	case 2: // noise
		for i := range part {
			part[i] ^= byte(1 + random.IntN(255))
		}
	case 3:
		m.unreadable[sector/m.sectorBytes] = true
		return
	}
	m.put(from, part)
}

// put changes bytes in any state, and leaves unreadable sectors so.
func (m *Image) put(offsetBytes uint64, data []byte) {
	m.reach(offsetBytes + uint64(len(data)))
	parts(offsetBytes, uint64(len(data)), func(index, from, to, at uint64) {
		c := m.own(index)
		copy(c.now[from:to], data[at:])
		if c.isApart {
			copy(c.durable[from:to], data[at:])
		}
	})
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
