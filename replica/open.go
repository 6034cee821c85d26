package replica

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
)

// Opened is a data file after recovery.
type Opened struct {
	Limits    limits.Limits // with the sessions of the file
	Consensus consensus.Recovered
	Journal   journal.Recovered
	Layout    datafile.Layout
	// SuperblockCopiesFixed were damaged or older, and are rewritten.
	SuperblockCopiesFixed int

	scratch []byte
}

// Open recovers a data file: it chooses the superblock, repairs what one replica can repair, makes
// the view of this start durable, and reads the sessions of the checkpoint.
func Open(file ports.DataFile, l limits.Limits, memory *arena.Arena) (*Opened, error) {
	o, err := recoverFile(file, l, memory)
	if err != nil {
		return nil, err
	}
	if err := o.readSessions(file); err != nil {
		return nil, err
	}
	return o, o.begin(file)
}

// begin makes the view of this start durable. Nothing runs before it.
func (o *Opened) begin(file ports.File) error {
	checksum, err := datafile.WriteSuperblock(file, &o.Limits, &o.Consensus.Superblock, o.scratch)
	if err == nil {
		assert.That(checksum == o.Consensus.SuperblockChecksum, "consensus goes on from the superblock that is written")
	}
	return err
}

// recoverFile is Open without readSessions and begin: what needs no repair is left as it was, for a
// start may still be refused.
func recoverFile(file ports.DataFile, l limits.Limits, memory *arena.Arena) (*Opened, error) {
	if err := l.Check(); err != nil { // before anything is read by them
		return nil, err
	}
	// A crash between a write and its sync leaves what this start would read and go on from, and the
	// next power cut would take.
	if err := file.Sync(); err != nil {
		return nil, fmt.Errorf("syncing the data file before it is read: %w", err)
	}
	o := &Opened{Layout: datafile.NewLayout(&l)}
	scratch := memory.Bytes(uint64(max(l.MessageBytesMax, l.BlockBytes)), 4096, "recovery scratch")
	size, err := file.SizeBytes()
	if err != nil {
		return nil, fmt.Errorf("reading the size of the data file: %w", err)
	}
	// format writes the first sector of every slot.
	if size < o.Layout.PrepareAt(uint64(l.JournalSlotsCount)-1)+uint64(l.SectorBytes) {
		return nil, fmt.Errorf("the data file has %d bytes, a formatted one has at least %d: it was never formatted (ledger "+
			"format), or it was cut off and is to be restored from a backup",
			size, o.Layout.GridAt)
	}
	// The free set has no bits for blocks beyond the limit. A block device has its size whatever was
	// written to it.
	if size > l.StorageBytesMax && !isBlockDevice(file) {
		return nil, fmt.Errorf("%w: the data file has %d bytes (%d MiB), the limit is %d bytes (%d MiB)",
			ErrStorageLimit, size, (size+1<<20-1)>>20, l.StorageBytesMax, l.StorageBytesMax>>20)
	}
	superblock, err := datafile.OpenSuperblock(file, &l, scratch)
	if err != nil {
		return nil, err
	}
	if superblock.ReplicasCount != 1 {
		return nil, fmt.Errorf("the data file is of a cluster of %d replicas; this version serves clusters of one", superblock.ReplicasCount)
	}
	if superblock.SessionsMax == 0 || superblock.SessionsMax > limits.SessionsMax {
		return nil, fmt.Errorf("the superblock says %d sessions; they are 1 to %d", superblock.SessionsMax, limits.SessionsMax)
	}
	// Connections follow the sessions: each may have one, and some are on their way out.
	l.ConnectionsMax = l.ConnectionsMax - min(l.ConnectionsMax, l.SessionsMax) + superblock.SessionsMax
	l.SessionsMax = superblock.SessionsMax
	if err := l.Check(); err != nil { // with the sessions of the file
		return nil, err
	}
	o.Limits, o.SuperblockCopiesFixed = l, superblock.CopiesFixed

	headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "journal headers")
	recovered, err := journal.Recover(file, &l, superblock.Cluster, &superblock.Checkpoint, superblock.CommitMax, headers, scratch)
	if err != nil {
		return nil, err
	}
	o.Journal = *recovered
	// A single replica never repeats a view: else two different prepares of one op could exist in it.
	next := superblock.Superblock
	next.Sequence++
	next.Parent = superblock.Checksum
	next.View++
	next.LogView = next.View
	next.CommitMax = max(next.CommitMax, recovered.OpHead)
	o.scratch = scratch
	o.Consensus = consensus.Recovered{
		Superblock:         next,
		SuperblockChecksum: datafile.EncodeSuperblock(scratch[:datafile.SuperblockContentBytes], &next, &l, 0),
		OpHead:             recovered.OpHead,
		Headers:            recovered.Headers,
	}
	return o, nil
}

// readSessions reads the sessions of the checkpoint. Nothing is left of what the scratch held.
func (o *Opened) readSessions(file ports.File) error {
	superblock := &o.Consensus.Superblock
	checkpoint := &superblock.Checkpoint
	sessions := make([]byte, checkpoint.TrailerBytes[storage.TrailerSessions])
	if root := checkpoint.Roots[storage.TrailerSessions]; !root.IsZero() {
		geometry := block.GeometryOf(o.Limits)
		fault := block.ReadChain(file, o.Layout.GridAt, &geometry, superblock.Cluster, storage.TrailerSessions, root, sessions,
			o.scratch[:o.Limits.BlockBytes], nil)
		if fault != nil {
			return fmt.Errorf("reading the sessions of the checkpoint: %w", fault)
		}
	}
	o.Consensus.SessionsTrailer = sessions
	return nil
}

func isBlockDevice(file ports.DataFile) bool {
	device, ok := file.(interface{ IsBlockDevice() bool })
	return ok && device.IsBlockDevice()
}
