package events

import (
	"fmt"
	"time"
)

// Scrubbing tells at a start how fast the scrubber reads the data file.
type Scrubbing struct {
	PeriodNs          uint64 // in which the whole file is read; 0: it is not
	BytesPerSecondMax uint64
}

// Scrubbing emits the event.
func (l *Log) Scrubbing(e Scrubbing) { emit(l, kindScrubbing, e) }

func (e *Scrubbing) Level() Level { return Info }
func (e *Scrubbing) Name() string { return "scrubbing" }
func (e *Scrubbing) Text(line []byte) []byte {
	if e.PeriodNs == 0 {
		return append(line, "scrubber: off, damage that nobody reads stays unknown (--scrub-days=0)"...)
	}
	const dayNs = uint64(24 * time.Hour)
	line = append(line, "scrubber: the whole file is read every "...)
	if e.PeriodNs%dayNs == 0 {
		line = fmt.Appendf(line, "%d days", e.PeriodNs/dayNs)
	} else {
		line = fmt.Appendf(line, "%v", time.Duration(e.PeriodNs).Round(time.Millisecond))
	}
	return fmt.Appendf(line, ", at most %d MB/s", e.BytesPerSecondMax/1e6)
}
func (e *Scrubbing) Fields(o Fields) Fields {
	return o.Number("period_ns", e.PeriodNs).Number("bytes_per_second_max", e.BytesPerSecondMax)
}

// DamageFound: the scrubber has found bytes that are not what was written, before anybody needed
// them.
type DamageFound struct {
	Zone    string // superblock, log or grid
	Place   string // as in "block 12, page 3, of tree transfer_id"
	Address uint64 // of a block; 0: not of the grid
	Page    uint64
	Tree    string // of a table, or which trailer
	Op      uint64 // of a prepare
	Reason  string
	Errno   int32  // of a read that failed, or 0
	Advice  string // what happens next, and what the operator can do
}

// DamageFound emits the event.
func (l *Log) DamageFound(e DamageFound) { emit(l, kindDamageFound, e) }

func (e *DamageFound) Level() Level { return Warning }
func (e *DamageFound) Name() string { return "damage_found" }
func (e *DamageFound) Text(line []byte) []byte {
	line = fmt.Appendf(line, "damage found: %s: %s", e.Place, e.Reason)
	if e.Errno != 0 {
		line = fmt.Appendf(line, " (errno %d)", e.Errno)
	}
	return fmt.Appendf(line, "; %s", e.Advice)
}
func (e *DamageFound) Fields(o Fields) Fields {
	return o.String("zone", e.Zone).String("place", e.Place).Number("address", e.Address).Number("page", e.Page).String("tree", e.Tree).
		Number("op", e.Op).String("reason", e.Reason).Number("errno", uint64(e.Errno)).String("advice", e.Advice)
}
