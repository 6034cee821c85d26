package replica

import (
	"fmt"
	"sync/atomic"

	"ledger/internal/ports"
)

// phase of a start, in the order in which a start goes through them.
type phase uint32

const (
	phaseFile       phase = iota // the data file is not open yet
	phaseRead                    // done counts bytes
	phaseCheckpoint              // done counts bytes
	phaseReplay                  // done counts ops, of total
	phaseOthers                  // a replica of several has executed its log
	phaseSettle
	phaseServing
)

// Progress says how far a start has come. The thread that opens the data file writes it first, and
// then the thread of apply. Any thread may read it at any time. The zero value is a start that has
// not opened its data file; a nil one is for nobody.
//
// The three words are not read as one: a reader may see the figures of one phase with the name of
// the next for a moment. They are for people, and nothing is decided by them.
type Progress struct {
	phase, done, total atomic.Uint64
	service            atomic.Pointer[service] // of a replica of several: why it serves nobody
}

// enter begins a phase. total is 0 if it is not known.
func (p *Progress) enter(next phase, total uint64) {
	if p == nil {
		return
	}
	p.done.Store(0)
	p.total.Store(total)
	p.phase.Store(uint64(next))
}

func (p *Progress) add(count uint64) {
	if p != nil {
		p.done.Add(count)
	}
}

func (p *Progress) set(done uint64) {
	if p != nil {
		p.done.Store(done)
	}
}

// tells: from now on the reason of a replica of several is known.
func (p *Progress) tells(of *service) {
	if p != nil {
		p.service.Store(of)
	}
}

// String tells why clients are not served yet, and the progress.
func (p *Progress) String() string {
	done, total := p.done.Load(), p.total.Load()
	switch phase(p.phase.Load()) {
	case phaseFile:
		return "the data file is not open yet"
	case phaseRead:
		return fmt.Sprintf("superblock and log are being read: %d MiB so far", done>>20)
	case phaseCheckpoint:
		return fmt.Sprintf("the checkpoint is being opened: %d MiB read so far", done>>20)
	case phaseReplay:
		return fmt.Sprintf("the log is being executed again: %d of %d ops", done, total) + p.away()
	case phaseOthers:
		return "the log is executed, and the other replicas are awaited" + p.away()
	case phaseSettle:
		return "what the log's ops began is being written"
	}
	return "clients are served"
}

// away is what a replica of several waits for, behind the step of its start.
func (p *Progress) away() string {
	if why := p.service.Load().why(); why != "" {
		return "; " + why
	}
	return ""
}

// counting returns file, with progress of what is read from it.
func (p *Progress) counting(file ports.DataFile) ports.DataFile {
	if p == nil {
		return file
	}
	return &countedFile{DataFile: file, progress: p}
}

// countedFile is a data file that counts the bytes read from it. Only a start uses it; the disks of
// the stages use the descriptor.
type countedFile struct {
	ports.DataFile
	progress *Progress
}

// ReadAt implements ports.File.
func (f *countedFile) ReadAt(buffer []byte, offsetBytes uint64) error {
	err := f.DataFile.ReadAt(buffer, offsetBytes)
	f.progress.add(uint64(len(buffer)))
	return err
}

// ReadersMax implements ports.SharedFile.
func (f *countedFile) ReadersMax() int { return ports.ReadersMax(f.DataFile) }

// IsBlockDevice tells whether the file is a block device.
func (f *countedFile) IsBlockDevice() bool { return isBlockDevice(f.DataFile) }
