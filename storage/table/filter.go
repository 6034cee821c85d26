package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// A filter says for most absent keys that a table does not hold them, and never so for a present one. It is an array of
// buckets of 32 bytes; a key sets one bit in each of the 8 words of one bucket, so a look-up touches one cache line. With 12
// bits per key about one absent key in 200 passes.
const (
	filterBitsPerKey  = 12
	filterBucketBytes = 32
)

// filterSalts are odd and have no other meaning. They are part of the format.
var filterSalts = [8]uint32{
	0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x165667b1, 0xd3a2646d, 0xfd7046c5, 0xb55a4f09,
}

// FilterBytes is the size of the filter of a table with so many entries; 0 if the tree has none.
func (s *Shape) FilterBytes(entries uint32) uint32 {
	if !s.filter {
		return 0
	}
	buckets := (uint64(entries)*filterBitsPerKey + filterBucketBytes*8 - 1) / (filterBucketBytes * 8)
	return uint32(buckets) * filterBucketBytes
}

// FilterBytesMax is the size of a full table's filter.
func (s *Shape) FilterBytesMax() uint32 { return s.FilterBytes(s.dataPagesMax * uint32(s.pageEntries)) }

// FilterPages is how many pages the filter of a table with so many entries takes: the last of its PagesUsed.
func (s *Shape) FilterPages(entries uint32) uint32 { return s.filterPages(entries) }

func (s *Shape) filterPages(entries uint32) uint32 {
	return (s.FilterBytes(entries) + s.Geometry.PageBytes - 1) / s.Geometry.PageBytes
}

// FilterHash is a key's hash for FilterHas: the same for all tables, so it is computed once per key.
func FilterHash(key *storage.Key) uint64 { return filterHash(key[:filterKeyBytes]) }

// filterKeyBytes: only trees of ids have filters.
const filterKeyBytes = 16

func filterHash(key []byte) uint64 {
	const k0, k1, k2 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	first, second := binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])
	hi, lo := bits.Mul64(first^k0, second^k1)
	// The product is zero if a factor is: the sum lets such keys spread as well.
	h := (hi ^ lo) + (bits.RotateLeft64(first, 29) + second ^ k2)
	h ^= h >> 32
	h *= k0
	return h ^ h>>29
}

func filterBucket(filter []byte, hash uint64) []byte {
	bucket, _ := bits.Mul64(hash>>32<<32, uint64(len(filter)/filterBucketBytes))
	return filter[bucket*filterBucketBytes:][:filterBucketBytes]
}

// filterMask is the bits of a key in words 2*pair and 2*pair+1 of its bucket, as one little-endian number.
func filterMask(low uint32, pair int) uint64 {
	return 1<<(low*filterSalts[2*pair]>>27) | 1<<(32+low*filterSalts[2*pair+1]>>27)
}

// FilterHas tells whether a table may hold the key with this hash. filter is its filter: FilterBytes of its entries.
func FilterHas(filter []byte, hash uint64) bool {
	bucket, low := filterBucket(filter, hash), uint32(hash)
	missing := uint64(0)
	for pair := range len(filterSalts) / 2 {
		missing |= filterMask(low, pair) &^ binary.LittleEndian.Uint64(bucket[pair*8:])
	}
	return missing == 0
}

func filterAdd(filter []byte, hash uint64) {
	bucket, low := filterBucket(filter, hash), uint32(hash)
	for pair := range len(filterSalts) / 2 {
		words := bucket[pair*8 : pair*8+8]
		binary.LittleEndian.PutUint64(words, binary.LittleEndian.Uint64(words)|filterMask(low, pair))
	}
}
