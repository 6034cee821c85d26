package wire

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
)

type checksumVector struct {
	Input, Hex, Tag string
	Length          int
}

func (v *checksumVector) data(t testing.TB) []byte {
	data := make([]byte, v.Length)
	switch v.Input {
	case "zeros":
	case "pattern":
		for i := range data {
			data[i] = byte(7*i + i/256)
		}
	case "hex":
		if _, err := hex.Decode(data, []byte(v.Hex)); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("unknown input %q", v.Input)
	}
	return data
}

// The checksum agrees with the published vectors, for every length around the block size and at
// every alignment.
func TestChecksumVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/checksum-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []checksumVector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 26 {
		t.Fatalf("%d vectors, want 26", len(vectors))
	}
	for _, vector := range vectors {
		data := vector.data(t)
		for offset := range 17 {
			shifted := append(make([]byte, offset, offset+len(data)), data...)[offset:]
			if got := ChecksumOf(shifted).String(); got != vector.Tag {
				t.Errorf("%s of %d bytes at offset %d: %s, want %s", vector.Input, vector.Length, offset, got, vector.Tag)
			}
		}
	}
	if got := ChecksumOf(nil); got != checksumOfEmpty {
		t.Errorf("checksum of nothing: %v, want %v", got, checksumOfEmpty)
	}
}

// Any number of threads may compute checksums at once, of data on their own stacks, while those
// stacks grow and move.
func TestChecksumConcurrent(t *testing.T) {
	want := ChecksumOf(make([]byte, 4096))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if !checksumDeep(want, 40) {
				t.Error("a checksum differs on a deep stack")
			}
		})
	}
	group.Wait()
}

//go:noinline
func checksumDeep(want Checksum, depth int) bool {
	var data [4096]byte
	if ChecksumOf(data[:]) != want {
		return false
	}
	return depth == 0 || checksumDeep(want, depth-1) && ChecksumOf(data[:]) == want
}

func TestChecksumAllocatesNothing(t *testing.T) {
	var sum Checksum
	allocs := testing.AllocsPerRun(1000, func() {
		var onStack [240]byte
		onStack[0] = sum[0]
		sum = ChecksumOf(onStack[:])
	})
	if allocs != 0 {
		t.Fatalf("ChecksumOf allocates %.1f times per call, want 0", allocs)
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, bytesCount := range []int{0, 240, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", bytesCount), func(b *testing.B) {
			data := make([]byte, bytesCount)
			b.SetBytes(int64(bytesCount))
			b.ReportAllocs()
			for b.Loop() {
				ChecksumOf(data)
			}
		})
	}
}
