package inspect

import (
	"fmt"
	"io"
	"sync"

	"ledger/storage"
	"ledger/storage/datafile"
)

// Progress hears how much of a file was read. Calls do not overlap. It may be nil.
type Progress func(doneBytes, allBytes uint64)

// meter adds up what several readers have read.
type meter struct {
	lock     sync.Mutex
	progress Progress
	read     uint64
	done     uint64 // read, or skipped
	all      uint64
}

func newMeter(progress Progress, allBytes uint64) *meter {
	return &meter{progress: progress, all: allBytes}
}

func (m *meter) add(bytes uint64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.read, m.done = m.read+bytes, m.done+bytes
	if m.progress != nil {
		m.progress(min(m.done, m.all), m.all)
	}
}

// Verification is what is damaged in a file, and how much of it was read.
type Verification struct {
	CheckpointOp uint64   `json:"checkpoint_op"`
	OpHead       uint64   `json:"op_head"`
	Copies       int      `json:"superblock_copies"`
	Slots        int      `json:"log_slots"`
	Trailers     int      `json:"trailer_blocks"`
	Tables       int      `json:"tables"`
	Bytes        uint64   `json:"bytes"` // read and verified
	Notes        []string `json:"notes"` // what a crash left, and a start completes
	Damaged      []Damage `json:"damaged"`
	Changed      bool     `json:"changed"`
}

// Verify checks every checksum of the file: of the copies of the superblock, of both rings of the
// log, and of all used pages of the blocks that the checkpoint names.
//
// error: there is no superblock by which the rest could be verified.
func (f *File) Verify(progress Progress) (*Verification, error) {
	var r *Verification
	readers, known := f.readers(), map[storage.Ref][32]byte{}
	var whole *log // what was right once is not read again
	changed, err := f.settled(func(s *datafile.Copy) string {
		var bytes uint64
		if r != nil {
			bytes = r.Bytes
		}
		r = &Verification{CheckpointOp: s.Checkpoint.Op, Slots: int(f.limits.JournalSlotsCount), Bytes: bytes, Notes: []string{},
			Damaged: []Damage{}}
		f.verifySuperblock(r)
		c := f.read(s)
		m := newMeter(progress, f.blocksBytes(c)+f.layout.GridAt-f.layout.TwinsAt)
		log := whole
		if log == nil {
			log = f.newLog(s)
			log.readAll(readers, m.add)
			m.done = f.layout.GridAt - f.layout.TwinsAt // not all of each slot is used
		}
		if log.report(r); len(log.damages()) == 0 {
			whole = log
		}
		f.verifyGrid(s, c, r, f.scan(s, c, readers, known, false, m.add))
		r.Bytes += m.read
		return complaint(r.Damaged)
	})
	if err != nil {
		if r, err = f.withoutSuperblock(err); err != nil {
			return nil, err
		}
	}
	r.Changed = changed
	return r, nil
}

// withoutSuperblock is the report on a file none of whose superblocks is in force.
func (f *File) withoutSuperblock(err error) (*Verification, error) {
	if !isDamage(err) {
		return nil, err
	}
	r := &Verification{Notes: []string{}, Damaged: []Damage{}}
	f.verifySuperblock(r)
	r.Damaged = append(r.Damaged, Damage{Kind: DamageSuperblock, Reason: err.Error() + "; nothing else can be verified without it"})
	return r, nil
}

// report adds what is to be said of the log.
func (l *log) report(r *Verification) {
	r.OpHead = l.head
	r.Damaged = append(r.Damaged, l.damages()...)
	for i := range l.slots {
		if slot := &l.slots[i]; slot.State != stateWhole && slot.State != stateUnused && len(slot.damage) == 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("slot %d: %s", slot.Slot, slot.State))
		}
	}
}

// verifyGrid adds what is to be said of the blocks that the checkpoint names.
func (f *File) verifyGrid(s *datafile.Copy, c *contents, r *Verification, blocks []verified) {
	r.Damaged = append(r.Damaged, c.damage...)
	for i, v := range blocks {
		n := &c.blocks[i]
		if n.table == nil {
			r.Trailers++
		} else {
			r.Tables++
		}
		if n.fault != nil && len(v.damage) == 0 {
			v.damage = []Damage{f.damageOf(n, n.fault)} // its checksums are right, but it is not of this trailer
		}
		r.Damaged = append(r.Damaged, v.damage...)
	}
	if len(r.Damaged) == 0 {
		r.Damaged = append(r.Damaged, f.sessions(s).Damaged...)
	}
}

func (f *File) verifySuperblock(r *Verification) {
	copies, chosen, err := f.superblocks()
	r.Copies = len(copies)
	r.Bytes += uint64(len(copies)) * datafile.SuperblockContentBytes
	for i := range copies {
		switch c := &copies[i]; {
		case c.Damage != "":
			index := i
			r.Damaged = append(r.Damaged, Damage{Kind: DamageSuperblock, Copy: &index, Offset: f.layout.SuperblockCopyAt(uint32(i)),
				Reason: c.Damage})
		case err == nil && c.Checksum != copies[chosen].Checksum:
			r.Notes = append(r.Notes, fmt.Sprintf("superblock copy %d has sequence %d, that in force has %d: a start repairs it", i,
				c.Sequence, copies[chosen].Sequence))
		}
	}
}

// Text implements Report.
func (r *Verification) Text(out io.Writer) {
	fmt.Fprintf(out, "checkpoint op %d, head op %d: %d copies of the superblock, %d slots of the log, %d blocks of trailers, "+
		"%d tables, %d MiB\n", r.CheckpointOp, r.OpHead, r.Copies, r.Slots, r.Trailers, r.Tables, r.Bytes>>20)
	for _, note := range r.Notes {
		fmt.Fprintln(out, note)
	}
	textDamage(out, r.Damaged)
	textChanged(out, r.Changed)
	if len(r.Damaged) == 0 {
		fmt.Fprintln(out, "every checksum is right")
	}
}
