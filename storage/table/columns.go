package table

import (
	"encoding/binary"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/wire"
)

// PostingWords returns the key of a posting.
func (s *Shape) PostingWords(value wire.U128, ordinal uint64) Words {
	if s.valueAt <= 8 {
		return Words{value.Lo << (64 - 8*uint(s.valueAt)), 0, ordinal}
	}
	return Words{value.Hi, value.Lo, ordinal}
}

// Numbers tells whether an entry fits Words. That is so for a posting, and for a key with a value
// of up to 8 bytes, which is then the number in C.
func (s *Shape) Numbers() bool {
	if s.Encoding == storage.EncodingPrefix {
		return true
	}
	return !s.tombstones && (s.ValueBytes == 8 || s.ValueBytes == 4 || s.ValueBytes == 1)
}

// ValueBits is the width of a posting's value, or of a plain key.
func (s *Shape) ValueBits() uint {
	if s.Encoding == storage.EncodingPrefix {
		return 8 * uint(s.valueAt)
	}
	return 8 * uint(s.KeyBytes)
}

// DecodeNumbers is DecodeWords with values.
func (s *Shape) DecodeNumbers(page []byte, index int, out []Words) int {
	count := s.DecodeWords(page, index, out)
	if s.Encoding == storage.EncodingPrefix {
		return count
	}
	out = out[:count]
	values := page[s.valuesAt+index*s.ValueBytes:][:count*s.ValueBytes]
	switch s.ValueBytes {
	case 8:
		for i := range out {
			out[i].C = binary.LittleEndian.Uint64(values[i*8:])
		}
	case 4:
		for i := range out {
			out[i].C = uint64(binary.LittleEndian.Uint32(values[i*4:]))
		}
	default:
		assert.Equal(s.ValueBytes, 1, "bytes of a value")
		for i := range out {
			out[i].C = uint64(values[i])
		}
	}
	return count
}
