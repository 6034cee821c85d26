package events

import (
	"fmt"
	"time"
)

// The events about state sync.

// Sync is what they have in common.
type Sync struct {
	From, To      uint64 // ops of the own checkpoint and of the one that takes its place
	ForNs         uint64 // since then
	Blocks, Bytes uint64 // fetched since then
	IsOpening     bool   // the checkpoint is not open yet, so nothing is executed
	IsByLogStuck  bool   // the log led no further; else the others are two checkpoints ahead
}

func (e *Sync) fields(o Fields) Fields {
	return o.Number("from_op", e.From).Number("to_op", e.To).Number("for_ns", e.ForNs).Number("blocks", e.Blocks).Number("bytes", e.Bytes)
}

func (e *Sync) duration() time.Duration { return time.Duration(e.ForNs).Round(10 * time.Millisecond) }

// SyncBegan: a checkpoint of another replica is taken over.
type SyncBegan Sync

// SyncBegan emits the event.
func (l *Log) SyncBegan(e SyncBegan) { emit(l, kindSyncBegan, e) }

func (e *SyncBegan) Level() Level { return Info }
func (e *SyncBegan) Name() string { return "sync_began" }
func (e *SyncBegan) Text(line []byte) []byte {
	why := "the others are two checkpoints ahead"
	if e.IsByLogStuck {
		why = "the others no longer have the log that is missing here"
	}
	return fmt.Appendf(line, "state sync: from the checkpoint of op %d to that of op %d, because %s", e.From, e.To, why)
}
func (e *SyncBegan) Fields(o Fields) Fields {
	return (*Sync)(e).fields(o).Bool("stuck", e.IsByLogStuck)
}

// SyncGoesOn comes once a minute.
type SyncGoesOn Sync

// SyncGoesOn emits the event.
func (l *Log) SyncGoesOn(e SyncGoesOn) { emit(l, kindSyncGoesOn, e) }

func (e *SyncGoesOn) Level() Level { return Info }
func (e *SyncGoesOn) Name() string { return "sync_goes_on" }
func (e *SyncGoesOn) Text(line []byte) []byte {
	what := "blocks are missing still, and requests that need them wait for them"
	if e.IsOpening {
		what = "the checkpoint is being opened"
	}
	return fmt.Appendf(line, "state sync to the checkpoint of op %d: %d blocks (%d MiB) fetched in %v; %s", e.To, e.Blocks, e.Bytes>>20,
		(*Sync)(e).duration(), what)
}
func (e *SyncGoesOn) Fields(o Fields) Fields {
	return (*Sync)(e).fields(o).Bool("opening", e.IsOpening)
}

// SyncDone: nothing of the checkpoint is missing any more.
type SyncDone Sync

// SyncDone emits the event.
func (l *Log) SyncDone(e SyncDone) { emit(l, kindSyncDone, e) }

func (e *SyncDone) Level() Level { return Info }
func (e *SyncDone) Name() string { return "sync_done" }
func (e *SyncDone) Text(line []byte) []byte {
	return fmt.Appendf(line, "state sync to the checkpoint of op %d is done: %d blocks (%d MiB) fetched in %v", e.To, e.Blocks, e.Bytes>>20,
		(*Sync)(e).duration())
}
func (e *SyncDone) Fields(o Fields) Fields { return (*Sync)(e).fields(o) }
