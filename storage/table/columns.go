package table

import (
	"ledger/wire"
)

// PostingWords is a posting's key.
func (s *Shape) PostingWords(value wire.U128, ordinal uint64) Words {
	if s.valueAt <= 8 {
		return Words{value.Lo << (64 - 8*uint(s.valueAt)), 0, ordinal}
	}
	return Words{value.Hi, value.Lo, ordinal}
}
