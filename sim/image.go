package sim

import (
	"errors"
	"math/rand/v2"
)

// Image is the medium: the bytes that reads return, and the bytes that would survive a power cut.
type Image struct {
	sectorBytes uint64
	sizeBytes   uint64 // of the file; bytes behind those below read as zeros
	now         []byte // with all writes
	durable     []byte // without the writes that no sync has covered
	volatile    []volatileWrite
	order       uint64          // of volatile writes
	unreadable  map[uint64]bool // sectors that return an error until they are written
	limitBytes  uint64          // Allocate beyond it finds no space
}

// volatileWrite is a write that has completed but is not durable.
type volatileWrite struct {
	order       uint64
	offsetBytes uint64
	data        []byte
}

func newImage(sectorBytes uint32) *Image {
	return &Image{sectorBytes: uint64(sectorBytes), unreadable: map[uint64]bool{}, limitBytes: ^uint64(0)}
}

// clone copies an image at rest, as a crash leaves it.
func (m *Image) clone() *Image {
	c := newImage(uint32(m.sectorBytes))
	c.sizeBytes = m.sizeBytes
	c.now = append([]byte(nil), m.now...)
	c.durable = append([]byte(nil), m.durable...)
	for sector := range m.unreadable { // a copy of a set: order does not show
		c.unreadable[sector] = true
	}
	return c
}

// allocate makes the file at least sizeBytes long. New bytes read as zeros.
func (m *Image) allocate(sizeBytes uint64) { m.sizeBytes = max(m.sizeBytes, sizeBytes) }

// grow makes room for bytes that are written.
func (m *Image) grow(sizeBytes uint64) {
	m.allocate(sizeBytes)
	if sizeBytes <= uint64(len(m.now)) {
		return
	}
	if sizeBytes > uint64(cap(m.now)) {
		room := sizeBytes + sizeBytes/2
		m.now = append(make([]byte, 0, room), m.now...)
		m.durable = append(make([]byte, 0, room), m.durable...)
	}
	m.now = m.now[:sizeBytes]
	m.durable = m.durable[:sizeBytes]
}

// write puts data on the medium. If it is not durable, a power cut may lose it.
func (m *Image) write(offsetBytes uint64, data []byte, durable bool) {
	m.grow(offsetBytes + uint64(len(data)))
	copy(m.now[offsetBytes:], data)
	if len(m.unreadable) > 0 {
		for at := offsetBytes; at < offsetBytes+uint64(len(data)); at += m.sectorBytes {
			delete(m.unreadable, at/m.sectorBytes)
		}
	}
	if durable {
		copy(m.durable[offsetBytes:], data)
		return
	}
	m.order++
	m.volatile = append(m.volatile, volatileWrite{m.order, offsetBytes, append([]byte(nil), data...)})
}

// overwrite puts whole sectors on the medium without the knowledge of the replica.
func (m *Image) overwrite(offsetBytes uint64, data []byte) {
	m.write(offsetBytes, data, true)
}

// sync makes the volatile writes up to order durable.
func (m *Image) sync(order uint64) {
	count := 0
	for count < len(m.volatile) && m.volatile[count].order <= order {
		w := &m.volatile[count]
		copy(m.durable[w.offsetBytes:], w.data)
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
	count := int(min(uint64(len(buffer)), m.sizeBytes-offsetBytes))
	copied := 0
	if offsetBytes < uint64(len(m.now)) {
		copied = copy(buffer[:count], m.now[offsetBytes:])
	}
	clear(buffer[copied:count])
	return count, nil
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
	m.grow(offsetBytes + uint64(len(data)))
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
		copy(m.durable[offsetBytes+from:], data[from:to])
		delete(m.unreadable, (offsetBytes+from)/m.sectorBytes)
	}
}

// powerCut forgets writes that were not durable. Each volatile write may be lost, torn, or whole.
func (m *Image) powerCut(random *rand.Rand) {
	for i := range m.volatile {
		w := &m.volatile[i]
		m.leave(random, fate(random.IntN(int(fatesCount))), w.offsetBytes, w.data)
	}
	m.volatile = m.volatile[:0]
}

// settle makes the image the one that the next start reads.
func (m *Image) settle() {
	m.volatile = m.volatile[:0]
	copy(m.now, m.durable)
}

// damage changes the medium without the knowledge of the replica.
func (m *Image) damage(random *rand.Rand, offsetBytes, lengthBytes uint64) {
	m.grow(offsetBytes + lengthBytes)
	sector := (offsetBytes + random.Uint64N(lengthBytes)) / m.sectorBytes * m.sectorBytes
	from := max(sector, offsetBytes)
	to := min(sector+m.sectorBytes, offsetBytes+lengthBytes)
	switch random.IntN(4) {
	case 0: // a flipped bit
		at := from + random.Uint64N(to-from)
		m.now[at] ^= 1 << random.IntN(8)
	case 1: // a sector of zeros, unless it is that already
		if allZero(m.now[from:to]) {
			m.now[from] = 1
		} else {
			clear(m.now[from:to])
		}
	case 2: // noise
		for i := from; i < to; i++ {
			m.now[i] ^= byte(1 + random.IntN(255))
		}
	case 3:
		m.unreadable[sector/m.sectorBytes] = true
		return
	}
	copy(m.durable[from:to], m.now[from:to])
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
