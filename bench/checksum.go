package bench

import (
	"time"

	"ledger/client"
	"ledger/wire"
)

// MeasureChecksum computes the checksum of one full message.
func MeasureChecksum() *Checksum {
	data := client.NewMessage().Body()
	for i := range data {
		data[i] = byte(i * 7)
	}
	wire.ChecksumOf(data) // brings it into the cache, like receiving does
	begun := time.Now()
	wire.ChecksumOf(data)
	return &Checksum{MessageBytes: len(data), Ns: int64(time.Since(begun))}
}
