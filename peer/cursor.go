package peer

import (
	"encoding/binary"

	"ledger/internal/assert"
	"ledger/wire"
)

// cursor walks over the fields of one message. Each message names its fields once, in fields, and
// the cursor reads them, writes them, or notes where they are for the tables of the documents. So
// encoder, decoder and documents cannot differ.
type cursor struct {
	b        []byte
	at       int
	writing  bool
	reserved int // offset of the first reserved byte that is not 0, or -1
	note     func(name string, at, bytes int)
}

func reading(b []byte) cursor { return cursor{b: b, reserved: -1} }

func writing(b []byte) cursor {
	clear(b)
	return cursor{b: b, writing: true, reserved: -1}
}

func (c *cursor) next(name string, bytes int) []byte {
	if c.note != nil {
		c.note(name, c.at, bytes)
	}
	field := c.b[c.at : c.at+bytes : c.at+bytes]
	c.at += bytes
	return field
}

func (c *cursor) u64(name string, value *uint64) {
	assert.That(c.at%8 == 0, "a field of 8 bytes is aligned")
	if b := c.next(name, 8); c.writing {
		binary.LittleEndian.PutUint64(b, *value)
	} else {
		*value = binary.LittleEndian.Uint64(b)
	}
}

func (c *cursor) u32(name string, value *uint32) {
	assert.That(c.at%4 == 0, "a field of 4 bytes is aligned")
	if b := c.next(name, 4); c.writing {
		binary.LittleEndian.PutUint32(b, *value)
	} else {
		*value = binary.LittleEndian.Uint32(b)
	}
}

func (c *cursor) u16(name string, value *uint16) {
	assert.That(c.at%2 == 0, "a field of 2 bytes is aligned")
	if b := c.next(name, 2); c.writing {
		binary.LittleEndian.PutUint16(b, *value)
	} else {
		*value = binary.LittleEndian.Uint16(b)
	}
}

func u8[T ~uint8](c *cursor, name string, value *T) {
	if b := c.next(name, 1); c.writing {
		b[0] = uint8(*value)
	} else {
		*value = T(b[0])
	}
}

// bytes is a field that is no number: a checksum, a nonce, a set.
func (c *cursor) bytes(name string, value []byte) {
	if b := c.next(name, len(value)); c.writing {
		copy(b, value)
	} else {
		copy(value, b)
	}
}

func (c *cursor) u128(name string, value *wire.U128) {
	if b := c.next(name, wire.U128Bytes); c.writing {
		value.PutBytes(b)
	} else {
		*value = wire.U128FromBytes(b)
	}
}

// pad is a field of zeros.
func (c *cursor) pad(bytes int) {
	for i, one := range c.next("reserved", bytes) {
		if one != 0 && c.reserved < 0 {
			c.reserved = c.at - bytes + i
		}
	}
}

// end is the rest of the bytes, which are zeros. It returns the fault if any reserved byte is not.
func (c *cursor) end(command Command) Fault {
	if rest := len(c.b) - c.at; rest > 0 {
		c.pad(rest)
	}
	if c.reserved >= 0 {
		return fault(command, "reserved", uint64(c.b[c.reserved]), "it must be 0, at offset", uint64(c.reserved))
	}
	return Fault{}
}

func little32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

func little64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

func putLittle64(b []byte, value uint64) { binary.LittleEndian.PutUint64(b, value) }
