package replica

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages/consensus"
	"ledger/stages/journal"
	"ledger/storage/datafile"
)

// Opened is a data file after recovery.
type Opened struct {
	Limits    limits.Limits // with the sessions of the file
	Consensus consensus.Recovered
	Journal   journal.Recovered
	Layout    datafile.Layout
	// SuperblockCopiesFixed is the number of copies that were damaged or older and have been
	// rewritten.
	SuperblockCopiesFixed int

	scratch []byte
}

// Open recovers a data file: it chooses the superblock, repairs what a replica can repair by
// itself, and makes the view of this start durable.
func Open(file ports.DataFile, l limits.Limits, memory *arena.Arena) (*Opened, error) {
	o, err := recoverFile(file, l, memory)
	if err != nil {
		return nil, err
	}
	return o, o.begin(file)
}

// begin makes the view of this start durable. Nothing may run before it. One of several replicas
// goes on in the view that its superblock has.
func (o *Opened) begin(file ports.File) error {
	if o.Consensus.Superblock.ReplicasCount > 1 {
		return nil
	}
	checksum, err := datafile.WriteSuperblock(file, &o.Limits, &o.Consensus.Superblock, o.scratch)
	if err == nil {
		assert.That(checksum == o.Consensus.SuperblockChecksum, "consensus goes on from the superblock that is written")
	}
	return err
}

// recoverFile is Open without begin. It writes nothing but repairs, because a
// start may still be refused.
func recoverFile(file ports.DataFile, l limits.Limits, memory *arena.Arena) (*Opened, error) {
	if err := l.Check(); err != nil { // before anything is read by these limits
		return nil, err
	}
	// After a crash between a write and its sync, this start would read bytes that the next power
	// cut may take away.
	if err := file.Sync(); err != nil {
		return nil, fmt.Errorf("syncing the data file before it is read: %w", err)
	}
	o := &Opened{Layout: datafile.NewLayout(&l)}
	scratch := memory.Bytes(uint64(ports.ReadersMax(file))*uint64(max(l.MessageBytesMax, l.BlockBytes)), 4096, "recovery scratch")
	size, err := file.SizeBytes()
	if err != nil {
		return nil, fmt.Errorf("reading the size of the data file: %w", err)
	}
	// The check of what the file is comes before the check of its size: files of other format
	// versions and of the reference have other sizes.
	identity := datafile.Identify(file, &l, scratch)
	if err := identity.Foreign(); err != nil {
		return nil, err
	}
	// Format writes the first sector of every slot.
	if size < o.Layout.PrepareAt(uint64(l.JournalSlotsCount)-1)+uint64(l.SectorBytes) {
		return nil, fmt.Errorf("the data file has %d bytes, a formatted one has at least %d: it was never formatted "+
			"(ledger format makes a file under another name), or it was cut off and is to be restored from a backup",
			size, o.Layout.GridAt)
	}
	// The free set has no bits for blocks beyond the limit. A block device is the exception: its
	// size does not depend on writes.
	if size > l.StorageBytesMax && !isBlockDevice(file) {
		return nil, fmt.Errorf("%w: the data file has %d bytes (%d MiB), the limit is %d bytes (%d MiB)",
			ErrStorageLimit, size, (size+1<<20-1)>>20, l.StorageBytesMax, l.StorageBytesMax>>20)
	}
	superblock, err := datafile.OpenSuperblock(file, &l, scratch)
	if err != nil {
		return nil, err
	}
	if err := checkPosition(superblock.Replica, superblock.ReplicasCount); err != nil {
		return nil, err
	}
	if superblock.SessionsMax == 0 || superblock.SessionsMax > limits.SessionsMax {
		return nil, fmt.Errorf("the superblock says %d sessions; they are 1 to %d", superblock.SessionsMax, limits.SessionsMax)
	}
	// Each session may have a connection, and some more connections are being closed. So the number
	// of connections follows that of sessions.
	l.ConnectionsMax = l.ConnectionsMax - min(l.ConnectionsMax, l.SessionsMax) + superblock.SessionsMax
	l.SessionsMax, l.ReplicasCount = superblock.SessionsMax, uint32(superblock.ReplicasCount)
	l.Release = datafile.ReleaseOf(&superblock.Superblock, &l)
	if l.IsStandby = superblock.Replica >= superblock.ReplicasCount; l.IsStandby || l.ReplicasCount == 1 {
		l.StandbysCount = 0
	}
	if err := l.Check(); err != nil { // with the sessions of the file
		return nil, err
	}
	o.Limits, o.SuperblockCopiesFixed = l, superblock.CopiesFixed

	headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "journal headers")
	recovered, err := journal.Recover(file, &l, &superblock.Superblock, headers, scratch)
	if err != nil {
		return nil, err
	}
	o.Journal, o.scratch = *recovered, scratch
	if superblock.ReplicasCount == 1 {
		o.nextView(superblock)
	} else {
		o.sameView(superblock)
	}
	o.Consensus.OpHead, o.Consensus.Headers = recovered.OpHead, recovered.Headers
	return o, nil
}

// nextView: a single replica never repeats a view. Otherwise it could have two different prepares
// of one op.
func (o *Opened) nextView(superblock *datafile.Opened) {
	next := superblock.Superblock
	next.Sequence++
	next.Parent = superblock.Checksum
	next.View++
	next.LogView = next.View
	next.CommitMax = max(next.CommitMax, o.Journal.OpHead)
	next.Release = o.Limits.ReleaseMax
	o.Consensus = consensus.Recovered{
		Superblock:         next,
		SuperblockChecksum: datafile.EncodeSuperblock(o.scratch[:datafile.SuperblockContentBytes], &next, &o.Limits, 0),
	}
}

// eventsAhead is the number of events, at most, of the ops in the log behind the checkpoint.
func (o *Opened) eventsAhead() (events uint64) {
	for op := o.Consensus.Superblock.Checkpoint.Op + 1; op <= o.Consensus.OpHead; op++ {
		slot := op % uint64(o.Limits.JournalSlotsCount)
		header := prepare.Header(o.Consensus.Headers[slot*limits.HeaderBytes : (slot+1)*limits.HeaderBytes])
		events += uint64(header.SizeBytes()-prepare.HeaderBytes) / limits.EventBytesMin
	}
	return events
}

func isBlockDevice(file ports.DataFile) bool {
	device, ok := file.(interface{ IsBlockDevice() bool })
	return ok && device.IsBlockDevice()
}
