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
func FilterHash(key *storage.Key) uint64 {
	const k0, k1, k2 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(key[0:])^k0, binary.LittleEndian.Uint64(key[8:])^k1)
	hi, lo = bits.Mul64(hi^lo^k2, binary.LittleEndian.Uint64(key[16:])^k1)
	h := hi ^ lo
	// The product is zero if a factor is: mix once more, so that such keys spread as well.
	h ^= bits.RotateLeft64(binary.LittleEndian.Uint64(key[0:]), 29) + binary.LittleEndian.Uint64(key[8:])
	h ^= h >> 32
	h *= k0
	return h ^ h>>29
}

func filterBucket(filter []byte, hash uint64) []byte {
	bucket, _ := bits.Mul64(hash>>32<<32, uint64(len(filter)/filterBucketBytes))
	return filter[bucket*filterBucketBytes:][:filterBucketBytes]
}

// FilterHas tells whether a table may hold the key with this hash. filter is its filter: FilterBytes of its entries.
func FilterHas(filter []byte, hash uint64) bool {
	bucket, low := filterBucket(filter, hash), uint32(hash)
	missing := uint32(0)
	for i, salt := range &filterSalts {
		word := binary.LittleEndian.Uint32(bucket[i*4:])
		missing |= ^word >> (low * salt >> 27)
	}
	return missing&1 == 0
}

func filterAdd(filter []byte, hash uint64) {
	bucket, low := filterBucket(filter, hash), uint32(hash)
	for i, salt := range &filterSalts {
		word := bucket[i*4 : i*4+4]
		binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)|1<<(low*salt>>27))
	}
}
