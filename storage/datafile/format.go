package datafile

import (
	"fmt"

	"ledger/limits"
	"ledger/ports"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// FormatOptions of a new data file.
type FormatOptions struct {
	Cluster       wire.U128
	Replica       uint8
	ReplicasCount uint8
	// WriteLog writes zeros over the log instead of leaving holes, so that the first lap's writes need not record new extents.
	WriteLog bool
}

// Format writes an empty replica into file: log headers, the root prepare, then the superblock, whose presence makes the
// file valid. scratch is aligned memory of at least MessageBytesMax.
func Format(file ports.File, l *limits.Limits, options *FormatOptions, scratch []byte) error {
	layout := NewLayout(l)
	headers := scratch[:l.SectorBytes]
	perSector := uint64(l.SectorBytes / limits.HeaderBytes)
	sectors := uint64(l.JournalSlotsCount) / perSector
	for sector := range sectors {
		for i := range perSector {
			slot := sector*perSector + i
			header := headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes]
			if slot == 0 {
				prepare.PutRoot(header, options.Cluster)
			} else {
				prepare.PutReserved(header, options.Cluster, slot)
			}
		}
		if err := file.WriteAt(headers, layout.HeadersAt+sector*uint64(l.SectorBytes)); err != nil {
			return fmt.Errorf("writing the log's headers: %w", err)
		}
	}
	// Every slot starts with its header, so that a lost or misdirected write is seen.
	slotBytes := l.SectorBytes
	if options.WriteLog {
		slotBytes = l.MessageBytesMax
	}
	slot := scratch[:slotBytes]
	clear(slot)
	for i := range uint64(l.JournalSlotsCount) {
		if i == 0 {
			prepare.PutRoot(slot, options.Cluster)
		} else {
			prepare.PutReserved(slot, options.Cluster, i)
		}
		if err := file.WriteAt(slot, layout.PrepareAt(i)); err != nil {
			return fmt.Errorf("writing the log: %w", err)
		}
	}
	root := make([]byte, prepare.HeaderBytes)
	superblock := stages.Superblock{
		Sequence:      1,
		Cluster:       options.Cluster,
		Replica:       options.Replica,
		ReplicasCount: options.ReplicasCount,
		SessionsMax:   l.SessionsMax,
	}
	superblock.Checkpoint.PrepareChecksum = [16]byte(prepare.PutRoot(root, options.Cluster).Checksum())
	_, err := WriteSuperblock(file, l, &superblock, scratch)
	return err
}
