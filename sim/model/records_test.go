package model

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRecords: every byte of a record belongs to exactly one field: decoding and encoding any bytes
// gives them back.
func TestRecords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name  string
		size  int
		again func(b []byte) []byte
	}{
		{"account", 128, func(b []byte) []byte { r := AccountAt(b); return r.Append(nil) }},
		{"transfer", 128, func(b []byte) []byte { r := TransferAt(b); return r.Append(nil) }},
		{"account filter", 128, func(b []byte) []byte { r := AccountFilterAt(b); return r.Append(nil) }},
		{"query filter", 64, func(b []byte) []byte { r := QueryFilterAt(b); return r.Append(nil) }},
		{"changes filter", 64, func(b []byte) []byte { r := ChangesFilterAt(b); return r.Append(nil) }},
	} {
		for range 100 {
			record := make([]byte, c.size)
			for i := range record {
				record[i] = byte(random.Uint32())
			}
			if got := c.again(record); !bytes.Equal(got, record) {
				t.Fatalf("%s: %x comes back as %x", c.name, record, got)
			}
		}
	}
}
