package datafile

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// FormatOptions of a new data file.
type FormatOptions struct {
	Cluster       wire.U128
	Replica       uint8
	ReplicasCount uint8
	Incarnation   uint64 // a random number, not 0
	// View of a replica that takes the place of a lost one: it takes part in no earlier one. 0: new.
	View uint32
	// WriteLog writes zeros over the log instead of leaving holes, so that the first lap's writes need
	// not record new extents.
	WriteLog bool
}

// Format writes an empty replica into file: first both rings of the log with the root prepare in
// each, then the superblock. A file without a superblock is not valid, so a format that is
// interrupted leaves no valid file. scratch is aligned memory of at least MessageBytesMax.
func Format(file ports.File, l *limits.Limits, options *FormatOptions, scratch []byte) error {
	assert.That(options.Incarnation != 0, "a data file has an incarnation")
	layout := NewLayout(l)
	// Twins are written in pieces of the size of a message.
	perMessage := uint64(l.MessageBytesMax / l.TwinBytes)
	for first := uint64(0); first < uint64(l.JournalSlotsCount); first += perMessage {
		twins := scratch[:min(perMessage, uint64(l.JournalSlotsCount)-first)*uint64(l.TwinBytes)]
		clear(twins)
		for i := uint64(0); i < uint64(len(twins)); i += uint64(l.TwinBytes) {
			putEmpty(twins[i:], options.Cluster, first+i/uint64(l.TwinBytes))
		}
		if err := file.WriteAt(twins, layout.TwinAt(first)); err != nil {
			return fmt.Errorf("writing the log's twins: %w", err)
		}
	}
	// Every slot starts with a header of its own. So a lost or misdirected write is noticed.
	slotBytes := l.SectorBytes
	if options.WriteLog {
		slotBytes = l.MessageBytesMax
	}
	slot := scratch[:slotBytes]
	clear(slot)
	for i := range uint64(l.JournalSlotsCount) {
		putEmpty(slot, options.Cluster, i)
		if err := file.WriteAt(slot, layout.PrepareAt(i)); err != nil {
			return fmt.Errorf("writing the log: %w", err)
		}
	}
	// A cluster begins with the oldest release that the program offers, and passes to a newer one when
	// all replicas are there. So a file that a newer program makes fits a cluster of older ones.
	release := l.ReleaseMax
	if options.ReplicasCount > 1 {
		release = l.ReleaseMin
	}
	root := make([]byte, prepare.HeaderBytes)
	superblock := Superblock{
		Sequence:        1,
		Cluster:         options.Cluster,
		Replica:         options.Replica,
		ReplicasCount:   options.ReplicasCount,
		SessionsMax:     l.SessionsMax,
		Release:         release,
		RequestBytesMax: l.RequestBytesMax,
		Incarnation:     options.Incarnation,
		View:            options.View,
	}
	superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, options.Cluster).Checksum()
	if options.View > 0 {
		// The replica begins in a view change. What it says there of its log is that it is empty.
		superblock.HeadersCount, superblock.IsRecovered = 1, true
		// The cluster may run any release that this program knows. Its checkpoint brings a later one.
		superblock.Release = l.ReleaseMin
		copy(superblock.Headers[0][:], root)
	}
	_, err := WriteSuperblock(file, l, &superblock, scratch)
	return err
}

// putEmpty writes the initial header of a log slot: the root prepare, or a reserved header.
func putEmpty(buffer []byte, cluster wire.U128, slotIndex uint64) {
	if slotIndex == 0 {
		prepare.PutRoot(buffer, cluster)
	} else {
		prepare.PutReserved(buffer, cluster, slotIndex)
	}
}
