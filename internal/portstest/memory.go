package portstest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/ports"
)

// MemoryDisk is a disk port to a file in memory, which remembers what would survive a loss of
// power. Operations end at random polls in random order. Links are the business of the MishapDisk
// above it.
type MemoryDisk struct {
	Data    []byte // what a read gives
	Durable []byte // what is on the medium

	t       testing.TB
	random  *rand.Rand
	queue   []memoryOperation
	written []memoryOperation // writes that have ended, for the syncs that cover them
}

type memoryOperation struct {
	kind   Kind
	tag    uint64
	offset uint64
	buffer []byte
	bytes  []byte // of a write, when it was queued
	flags  ports.WriteFlags
	covers int // of a sync: the writes that had ended when it was queued
}

// NewMemoryDisk is a disk whose data is durable; data stays the caller's.
func NewMemoryDisk(t testing.TB, random *rand.Rand, data []byte) *MemoryDisk {
	return &MemoryDisk{Data: bytes.Clone(data), Durable: bytes.Clone(data), t: t, random: random}
}

// Read implements ports.Disk.
func (d *MemoryDisk) Read(tag, offsetBytes uint64, buffer []byte) {
	d.queue = append(d.queue, memoryOperation{kind: KindRead, tag: tag, offset: offsetBytes, buffer: buffer})
}

// Write implements ports.Disk.
func (d *MemoryDisk) Write(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	if flags&ports.WriteLinked != 0 {
		d.t.Fatal("a memory disk has no links")
	}
	d.queue = append(d.queue, memoryOperation{kind: KindWrite, tag: tag, offset: offsetBytes, buffer: buffer,
		bytes: bytes.Clone(buffer), flags: flags})
}

// Sync implements ports.Disk.
func (d *MemoryDisk) Sync(tag uint64) {
	d.queue = append(d.queue, memoryOperation{kind: KindSync, tag: tag, covers: len(d.written)})
}

// Allocate implements ports.Disk.
func (d *MemoryDisk) Allocate(tag, offsetBytes, lengthBytes uint64) {
	d.queue = append(d.queue, memoryOperation{kind: KindAllocate, tag: tag})
}

// Poll implements ports.Disk.
func (d *MemoryDisk) Poll(out []ports.DiskCompletion) (count int) {
	for count < len(out) && len(d.queue) > 0 && d.random.IntN(3) > 0 {
		at := d.random.IntN(len(d.queue))
		o := d.queue[at]
		d.queue = append(d.queue[:at], d.queue[at+1:]...)
		out[count] = ports.DiskCompletion{Tag: o.tag, Result: d.perform(&o)}
		count++
	}
	return count
}

func (d *MemoryDisk) perform(o *memoryOperation) int32 {
	switch o.kind {
	case KindRead:
		if o.offset > uint64(len(d.Data)) {
			return 0
		}
		return int32(copy(o.buffer, d.Data[o.offset:]))
	case KindWrite:
		if !bytes.Equal(o.buffer, o.bytes) {
			d.t.Fatal("a buffer changed while it was being written")
		}
		copy(d.Data[o.offset:], o.bytes)
		if o.flags&ports.WriteDurable != 0 {
			copy(d.Durable[o.offset:], o.bytes)
		}
		d.written = append(d.written, *o)
		return int32(len(o.bytes))
	case KindSync:
		for i, w := range d.written {
			// Durable writes behind the sync come once more, so that older bytes do not take their
			// place.
			if i < o.covers || w.flags&ports.WriteDurable != 0 {
				copy(d.Durable[w.offset:], w.bytes)
			}
		}
	}
	return 0
}
