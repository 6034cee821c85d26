package metrics

// StagesMax is the number of stages that can share a thread.
const StagesMax = 5

// Thread is the figures of a stage thread. Only that thread writes them. The padding keeps words of
// other writers away.
type Thread struct {
	_ [lineBytes]byte
	ThreadFigures
	_ [lineBytes]byte
}

// ThreadFigures since the start.
type ThreadFigures struct {
	SteppingNs uint64 // turns in which something happened
	SpinningNs uint64 // turns in which nothing did
	ParkedNs   uint64
	BusyTurns  uint64
	IdleTurns  uint64
	Parks      uint64
	KernelNs   uint64            // of SteppingNs: submitting and collecting I/O, and turns of stages that had nothing to do
	StageNs    [StagesMax]uint64 // of SteppingNs: turns of this stage that did something
	StageTurns [StagesMax]uint64
	TurnNs     Histogram // turns in which something happened
}

// Copy fills out.
func (t *Thread) Copy(out *ThreadFigures) { *out = t.ThreadFigures }
