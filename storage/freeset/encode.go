package freeset

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"ledger/internal/assert"
)

// The encoding is high, then three bitmaps of ceil(high / 64) words: acquired, waiting for the next
// bar's end, waiting for this checkpoint. A bitmap is groups of a marker word and literal words. A
// marker has the fill bit in bit 0, then 31 bits with the number of fill words, then 32 bits with
// the number of literal words that follow. A fill of a single word is a literal, so the encoding is
// never longer than EncodedBytesMax.
//
// The other two bitmaps need not be encoded. No address waits for the next checkpoint right after
// Capture. The named addresses are the rest of the acquired ones.

const (
	bitmapsEncoded = 3
	fillWordsMin   = 2
	fillWordsMax   = 1<<31 - 1
)

// ErrEncoding: the bytes are no encoding of a free set that fits.
var ErrEncoding = errors.New("the free set's encoding is malformed")

// EncodedBytesMax is the largest size that Encode can write now.
func (s *Set) EncodedBytesMax() uint64 { return encodedBytesMax(s.high) }

// EncodedBytesLimit is the largest size that Encode can ever write.
func (s *Set) EncodedBytesLimit() uint64 { return encodedBytesMax(s.addressesMax) }

func encodedBytesMax(high uint64) uint64 {
	words := (high + 63) / 64
	// Each marker but the last stands for at least two fill words.
	return 8 + bitmapsEncoded*8*(words+2)
}

// Encode writes the set as of Capture into out and returns its length.
func (s *Set) Encode(out []byte) (encodedBytes int) {
	assert.That(s.capturing, "the set is encoded for a checkpoint")
	assert.That(uint64(len(out)) >= s.EncodedBytesMax(), "the encoding fits its buffer")
	binary.LittleEndian.PutUint64(out, s.high)
	words, at := s.words(), 8
	at += encode(s.acquired[:words], out[at:])
	at += encode(s.waitsBar[:words], out[at:])
	at += encode(s.waitsCaptured[:words], out[at:])
	return at
}

func isFill(word uint64) bool { return word == 0 || word == ^uint64(0) }

// fillLength is the number of equal fill words at the beginning of b.
func fillLength(b bitmap) (length int) {
	for length < len(b) && length < fillWordsMax && isFill(b[length]) && b[length] == b[0] {
		length++
	}
	return length
}

func encode(b bitmap, out []byte) (at int) {
	for len(b) > 0 {
		fill := fillLength(b)
		marker := uint64(0)
		if fill < fillWordsMin {
			fill = 0
		} else {
			marker = b[0]&1 | uint64(fill)<<1
		}
		b = b[fill:]
		literals := 0
		for literals < len(b) && fillLength(b[literals:min(len(b), literals+fillWordsMin)]) < fillWordsMin {
			literals++
		}
		binary.LittleEndian.PutUint64(out[at:], marker|uint64(literals)<<32)
		at += 8
		for _, word := range b[:literals] {
			binary.LittleEndian.PutUint64(out[at:], word)
			at += 8
		}
		b = b[literals:]
	}
	return at
}

// Decode replaces the set by an encoded one. The addresses that Capture had marked are marked
// again, so the same calls can follow as after Capture.
func (s *Set) Decode(encoded []byte) error {
	if len(encoded) < 8 {
		return ErrEncoding
	}
	high := binary.LittleEndian.Uint64(encoded)
	if high > s.addressesMax {
		return ErrEncoding
	}
	for _, b := range []bitmap{s.acquired, s.named, s.waitsBar, s.waitsCaptured, s.waitsNext} {
		clear(b[:s.words()])
	}
	s.high, s.searchWord, s.acquiredCount, s.waitingCount, s.capturing = high, 0, 0, 0, true
	s.watched = watch{}
	words, rest := s.words(), encoded[8:]
	for _, b := range []bitmap{s.acquired, s.waitsBar, s.waitsCaptured} {
		var ok bool
		if rest, ok = decode(b[:words], rest); !ok {
			return ErrEncoding
		}
	}
	if len(rest) != 0 {
		return ErrEncoding
	}
	for i := range words {
		if (s.waitsBar[i]|s.waitsCaptured[i])&^s.acquired[i] != 0 || s.waitsBar[i]&s.waitsCaptured[i] != 0 {
			return ErrEncoding // a waiting address is acquired and waits for one thing
		}
		s.named[i] = s.acquired[i] &^ (s.waitsBar[i] | s.waitsCaptured[i])
		s.acquiredCount += uint64(bits.OnesCount64(s.acquired[i]))
		s.waitingCount += uint64(bits.OnesCount64(s.waitsBar[i] | s.waitsCaptured[i]))
	}
	if high%64 != 0 && s.acquired[words-1]>>(high%64) != 0 {
		return ErrEncoding // no address is above the highest
	}
	return nil
}

func decode(b bitmap, encoded []byte) (rest []byte, ok bool) {
	for len(b) > 0 {
		if len(encoded) < 8 {
			return nil, false
		}
		marker := binary.LittleEndian.Uint64(encoded)
		encoded = encoded[8:]
		fill, literals := marker>>1&fillWordsMax, marker>>32
		if fill+literals == 0 || fill+literals > uint64(len(b)) || literals*8 > uint64(len(encoded)) {
			return nil, false
		}
		for i := range fill {
			b[i] = -(marker & 1)
		}
		b = b[fill:]
		for i := range literals {
			b[i] = binary.LittleEndian.Uint64(encoded[i*8:])
		}
		b, encoded = b[literals:], encoded[literals*8:]
	}
	return encoded, true
}
