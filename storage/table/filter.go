package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// A filter says for most absent keys that a table does not hold them, and never so for a present one. It is an array of
// buckets of 32 bytes; a key sets one bit in each of the 8 words of one bucket, so a look-up touches one cache line. With 24
// bits per key about one absent key in 10,000 passes. With 12 it is one in 200, and of a new random id, which is in none of twenty
// runs, one in ten read a page that no cache holds: 73 million transfers into a file, that was 0.16 s for a full batch.
const (
	filterBitsPerKey = 24

	// FilterBucketBytes is the size of a bucket.
	FilterBucketBytes = 32
)

// filterSalts are odd and have no other meaning. They are part of the format.
var filterSalts = [8]uint32{
	0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x165667b1, 0xd3a2646d, 0xfd7046c5, 0xb55a4f09,
}

// filterPairs: words are read and written two at a time.
const filterPairs = len(filterSalts) / 2

// FilterBytes is the size of the filter of a table with so many entries; 0 if the tree has none.
func (s *Shape) FilterBytes(entries uint32) uint32 {
	if !s.filter {
		return 0
	}
	buckets := (uint64(entries)*filterBitsPerKey + FilterBucketBytes*8 - 1) / (FilterBucketBytes * 8)
	return uint32(buckets) * FilterBucketBytes
}

// FilterBytesMax is the size of a full table's filter.
func (s *Shape) FilterBytesMax() uint32 { return s.FilterBytes(s.EntriesMax()) }

// EntriesMax is how many entries a full table of a tree with a filter has.
func (s *Shape) EntriesMax() uint32 { return s.dataPagesMax * uint32(s.pageEntries) }

// FilterPages is how many pages the filter of a table with so many entries takes: the last of its PagesUsed.
func (s *Shape) FilterPages(entries uint32) uint32 { return s.filterPages(entries) }

func (s *Shape) filterPages(entries uint32) uint32 {
	return (s.FilterBytes(entries) + s.Geometry.PageBytes - 1) / s.Geometry.PageBytes
}

// FilterKey is a key as filters see it: the same for all tables, so it is made once per key.
type FilterKey struct {
	hash  uint64
	masks [filterPairs]uint64
}

// FilterKeyOf makes it.
func FilterKeyOf(key *storage.Key) (k FilterKey) {
	k.hash = hashKey(key[:filterKeyBytes])
	for pair := range k.masks {
		k.masks[pair] = filterMask(uint32(k.hash), pair)
	}
	return k
}

// Bucket is the part of a filter that tells of the key. filter: FilterBytes of its table's entries.
func (k *FilterKey) Bucket(filter []byte) []byte { return FilterBucket(filter, k.hash) }

// In tells whether a table, of whose filter bucket is the key's, may hold the key.
func (k *FilterKey) In(bucket []byte) bool {
	words := (*[FilterBucketBytes]byte)(bucket)
	missing := k.masks[0] &^ binary.LittleEndian.Uint64(words[0:])
	missing |= k.masks[1] &^ binary.LittleEndian.Uint64(words[8:])
	missing |= k.masks[2] &^ binary.LittleEndian.Uint64(words[16:])
	missing |= k.masks[3] &^ binary.LittleEndian.Uint64(words[24:])
	return missing == 0
}

// Has is both in one.
func (k *FilterKey) Has(filter []byte) bool { return k.In(k.Bucket(filter)) }

// filterKeyBytes: only trees of ids have filters.
const filterKeyBytes = 16

func hashKey(key []byte) uint64 {
	return FilterHash(binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]))
}

// FilterHash is that of an id, by which filters know it.
func FilterHash(idHi, idLo uint64) uint64 {
	const k0, k1, k2 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	first, second := bits.ReverseBytes64(idHi), bits.ReverseBytes64(idLo)
	hi, lo := bits.Mul64(first^k0, second^k1)
	// The product is zero if a factor is: the sum lets such keys spread as well.
	h := (hi ^ lo) + (bits.RotateLeft64(first, 29) + second ^ k2)
	h ^= h >> 32
	h *= k0
	return h ^ h>>29
}

// FilterBucket is the part of a filter that tells of the id with this hash. A filter is a multiple of FilterBucketBytes long.
func FilterBucket(filter []byte, hash uint64) []byte {
	bucket, _ := bits.Mul64(hash>>32<<32, uint64(len(filter)/FilterBucketBytes))
	return filter[bucket*FilterBucketBytes:][:FilterBucketBytes]
}

// FilterHashes appends those of the ids of a page.
func (s *Shape) FilterHashes(page []byte, out []uint64) []uint64 {
	keys := page[pageHeaderBytes : pageHeaderBytes+s.Count(page)*filterKeyBytes]
	for ; len(keys) > 0; keys = keys[filterKeyBytes:] {
		out = append(out, hashKey(keys))
	}
	return out
}

// filterMask is the bits of a key in words 2*pair and 2*pair+1 of its bucket, as one little-endian number.
func filterMask(low uint32, pair int) uint64 {
	return 1<<(low*filterSalts[2*pair]>>27) | 1<<(32+low*filterSalts[2*pair+1]>>27)
}

// FilterAdd puts the id with this hash into a filter.
func FilterAdd(filter []byte, hash uint64) {
	bucket, low := FilterBucket(filter, hash), uint32(hash)
	for pair := range filterPairs {
		words := bucket[pair*8 : pair*8+8]
		binary.LittleEndian.PutUint64(words, binary.LittleEndian.Uint64(words)|filterMask(low, pair))
	}
}
