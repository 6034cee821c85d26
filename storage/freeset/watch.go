package freeset

import "math/bits"

const watchWords = 8

// WatchMax is the number of addresses that are watched at a time.
const WatchMax = 64 * watchWords

// watch is a window of addresses. An address in it is watched from Watch on until it is released.
// So a watched address has had one block all the time, and that block was written before.
type watch struct {
	first uint64 // word
	bits  [watchWords]uint64
}

// drop ends the watch of an address, by index.
func (w *watch) drop(index uint64) {
	if at := index/64 - w.first; at < watchWords { // below first, the difference is huge
		w.bits[at] &^= 1 << (index % 64)
	}
}

// Watch watches the addresses above after that are in use and that a checkpoint names, from the
// lowest one on: up to WatchMax addresses. What was watched before is not any more. ok: there is
// one.
func (s *Set) Watch(after uint64) (ok bool) {
	s.watched = watch{}
	for word := after / 64; word < s.words(); word++ {
		if s.namedAbove(after, word) == 0 {
			continue
		}
		s.watched.first = word
		for i := range s.watched.bits {
			if word+uint64(i) < s.words() {
				s.watched.bits[i] = s.namedAbove(after, word+uint64(i))
			}
		}
		return true
	}
	return false
}

// namedAbove returns the bits of the named addresses above after in a word.
func (s *Set) namedAbove(after, word uint64) uint64 {
	named := s.named[word]
	if word == after/64 { // index after is that of the address above it
		named &^= 1<<(after%64) - 1
	}
	return named
}

// WatchedFirst is the lowest address of the window, whether or not it is watched.
func (s *Set) WatchedFirst() uint64 { return s.watched.first*64 + 1 }

// Unwatch ends the watch of an address.
func (s *Set) Unwatch(address uint64) { s.watched.drop(address - 1) }

// IsWatched tells whether an address is watched.
func (s *Set) IsWatched(address uint64) bool {
	index := address - 1
	at := index/64 - s.watched.first
	return at < watchWords && s.watched.bits[at]>>(index%64)&1 != 0
}

// WatchedAbove returns the lowest watched address above after.
func (s *Set) WatchedAbove(after uint64) (address uint64, ok bool) {
	for i, word := range s.watched.bits {
		base := (s.watched.first + uint64(i)) * 64
		if base+64 <= after {
			continue
		}
		if base < after {
			word &^= 1<<(after-base) - 1
		}
		if word != 0 {
			return base + uint64(bits.TrailingZeros64(word)) + 1, true
		}
	}
	return 0, false
}
