package sim

import (
	"fmt"
	"math/rand/v2"

	"ledger/internal/ports"
)

// crashed is the panic of a write when the machine goes down during a format or a recovery.
type crashed struct{}

// File is the data file before the pipeline runs.
type File struct {
	image        *Image
	random       *rand.Rand
	crashSectors int // the machine goes down after this many sectors; negative: never
	isStart      bool
	synced       bool
}

var _ ports.DataFile = (*File)(nil)

// ReadAt implements ports.File.
func (f *File) ReadAt(buffer []byte, offsetBytes uint64) error {
	if f.isStart && !f.synced {
		panic(violation{"a start reads what it has not synced"})
	}
	n, err := f.image.read(offsetBytes, buffer)
	if err != nil {
		return fmt.Errorf("reading %d bytes at %d: %w", len(buffer), offsetBytes, err)
	}
	clear(buffer[n:])
	return nil
}

// WriteAt implements ports.File.
func (f *File) WriteAt(buffer []byte, offsetBytes uint64) error {
	sectors := len(buffer) / int(f.image.sectorBytes)
	if f.crashSectors >= 0 && f.crashSectors < sectors {
		// The sectors of one write land in any order.
		f.image.reach(offsetBytes + uint64(len(buffer)))
		for _, i := range f.random.Perm(sectors)[:f.crashSectors] {
			at := uint64(i) * f.image.sectorBytes
			f.image.write(offsetBytes+at, buffer[at:at+f.image.sectorBytes], true)
		}
		panic(crashed{})
	}
	if f.crashSectors >= 0 {
		f.crashSectors -= sectors
	}
	f.image.write(offsetBytes, buffer, true)
	return nil
}

// SizeBytes implements ports.File.
func (f *File) SizeBytes() (uint64, error) { return f.image.sizeBytes, nil }

// Sync implements ports.DataFile.
func (f *File) Sync() error {
	f.synced = true // the crash has done it
	return nil
}
