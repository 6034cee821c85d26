package inspect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage/block"
	"ledger/storage/datafile"
)

// File is a data file that is read.
type File struct {
	file      ports.File
	limits    limits.Limits
	layout    datafile.Layout
	geometry  block.Geometry
	sizeBytes uint64
	memory    *arena.Arena
	scratch   []byte // of one message or block
}

// Report is the answer to a question. As JSON it is its exported fields.
type Report interface{ Text(out io.Writer) }

// Open takes a file of the sizes of l. l.SessionsMax does not count.
//
// error: the file is not a data file, is one of another version, or was cut off.
func Open(file ports.File, l limits.Limits) (*File, error) {
	f := &File{file: file, limits: l, layout: datafile.NewLayout(&l), geometry: block.GeometryOf(l), memory: arena.New()}
	f.scratch = f.buffer()
	if err := f.examine(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// examine refuses what is no data file of this version.
func (f *File) examine() (err error) {
	if f.sizeBytes, err = f.file.SizeBytes(); err != nil {
		return err
	}
	// Files of other versions have other sizes.
	identity := datafile.Identify(f.file, &f.limits, f.scratch)
	if err := identity.Foreign(); err != nil {
		return err
	}
	least := f.layout.PrepareAt(uint64(f.limits.JournalSlotsCount)-1) + uint64(f.limits.SectorBytes)
	switch isOurs := identity.Content == datafile.ContentOurs; {
	case !isOurs && f.sizeBytes < least:
		return fmt.Errorf("it has %d bytes, a data file has at least %d: it was never formatted (ledger format)", f.sizeBytes, least)
	case !isOurs:
		return errors.New("it holds no superblock: it was never formatted (ledger format)")
	case f.sizeBytes < least:
		return fmt.Errorf("it has %d bytes, a data file has at least %d: it was cut off, restore it from a backup", f.sizeBytes, least)
	}
	return nil
}

// Close gives up the buffers.
func (f *File) Close() { f.memory.Close() }

// buffer is memory for a message or a block, aligned for direct I/O.
func (f *File) buffer() []byte {
	return f.memory.Bytes(uint64(max(f.limits.MessageBytesMax, f.limits.BlockBytes)), 4096, "inspect")
}

// superblocks reads the four copies. A server may write them meanwhile, so copies that do not agree
// are read again.
func (f *File) superblocks() (copies []datafile.Copy, chosen int, err error) {
	for pass := 0; pass == 0 || pass < passesMax && isDamage(err); pass++ {
		var read [4]datafile.Copy
		read, chosen, err = datafile.ReadSuperblock(f.file, &f.limits, f.scratch)
		copies = read[:]
	}
	return copies, chosen, err
}

// inForce returns the superblock in force.
func (f *File) inForce() (*datafile.Copy, error) {
	copies, chosen, err := f.superblocks()
	if err != nil {
		return nil, err
	}
	s := &copies[chosen]
	if op := s.Checkpoint.Op; op != 0 && (op > opMax || !f.limits.IsCheckpoint(op)) {
		return nil, &datafile.DamageError{Reason: fmt.Sprintf("its checkpoint is of op %d, at which none is taken", op)}
	}
	return s, nil
}

// opMax is more ops than a server executes, and leaves room for sums.
const opMax = 1 << 62

// passesMax bounds how often a changing file is read.
const passesMax = 6

// settled runs read on the superblock in force. If read is not content, a server may have changed
// what it read: then it runs again on the superblock of then, until it is content or twice finds
// the same superblock and the same complaint. "" is no complaint.
//
// changed: the superblock, or the complaint, was another one meanwhile.
func (f *File) settled(read func(s *datafile.Copy) (complaint string)) (changed bool, err error) {
	s, err := f.inForce()
	if err != nil {
		return false, err
	}
	complaint := read(s)
	for pass := 1; complaint != "" && pass < passesMax; pass++ {
		next, err := f.inForce()
		if err != nil {
			return changed, err
		}
		again := read(next)
		isSame := next.Checksum == s.Checksum && again == complaint
		changed = changed || !isSame
		if s, complaint = next, again; isSame {
			break
		}
	}
	return changed, nil
}

const changedText = "the file changed while it was read: a server uses it"

func textChanged(out io.Writer, changed bool) {
	if changed {
		fmt.Fprintln(out, changedText)
	}
}

// table writes rows of cells in columns.
func table(out io.Writer, write func(row func(cells ...any))) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	write(func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	})
	_ = w.Flush() // whoever reads the output notices
}

func hexOf[T ~[16]byte](sum T) string { return hex.EncodeToString(sum[:]) }

// Layout is the zones of the file.
type Layout struct {
	Zones []Zone `json:"zones"`
}

// Zone of a data file.
type Zone struct {
	Name   string `json:"name"`
	Offset uint64 `json:"offset"`
	Size   uint64 `json:"size"`
}

// Layout needs no superblock in force, but one that says of itself to be one.
func (f *File) Layout() (*Layout, error) {
	if _, _, err := f.superblocks(); err != nil && !isDamage(err) {
		return nil, err
	}
	r := &Layout{}
	add := func(name string, offset, size uint64) { r.Zones = append(r.Zones, Zone{name, offset, size}) }
	for i := range f.limits.SuperblockCopies {
		add(fmt.Sprintf("superblock-%d", i), f.layout.SuperblockCopyAt(i), uint64(f.limits.SuperblockBytes))
	}
	slots := uint64(f.limits.JournalSlotsCount)
	add("log-twins", f.layout.TwinsAt, slots*uint64(f.limits.TwinBytes))
	add("log-prepares", f.layout.PreparesAt, slots*uint64(f.limits.MessageBytesMax))
	add("grid", f.layout.GridAt, f.sizeBytes-min(f.sizeBytes, f.layout.GridAt))
	return r, nil
}

// Text implements Report.
func (r *Layout) Text(out io.Writer) {
	table(out, func(row func(cells ...any)) {
		row("zone", "offset", "size")
		for _, z := range r.Zones {
			row(z.Name, z.Offset, z.Size)
		}
	})
}
