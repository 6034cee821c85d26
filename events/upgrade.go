package events

import "fmt"

// The events about releases.

// Releases are the release that runs and those that this program can run.
type Releases struct{ Running, Min, Max uint32 }

// Releases emits the event.
func (l *Log) Releases(e Releases) { emit(l, kindReleases, e) }

func (e *Releases) Level() Level { return Info }
func (e *Releases) Name() string { return "releases" }
func (e *Releases) Text(line []byte) []byte {
	return fmt.Appendf(line, "release: %d runs, %d to %d are offered", e.Running, e.Min, e.Max)
}
func (e *Releases) Fields(o Fields) Fields {
	return o.Number("running", uint64(e.Running)).Number("min", uint64(e.Min)).Number("max", uint64(e.Max))
}

// UpgradeBegan: the cluster passes to another release. Requests of clients wait.
type UpgradeBegan struct {
	From, To      uint32
	Op, TriggerOp uint64 // of the first upgrade op and of the last one
}

// UpgradeBegan emits the event.
func (l *Log) UpgradeBegan(e UpgradeBegan) { emit(l, kindUpgradeBegan, e) }

func (e *UpgradeBegan) Level() Level { return Info }
func (e *UpgradeBegan) Name() string { return "upgrade_began" }
func (e *UpgradeBegan) Text(line []byte) []byte {
	return fmt.Appendf(line, "upgrade: the cluster passes from release %d to release %d, behind op %d; it begins with op %d, and "+
		"requests wait until then", e.From, e.To, e.TriggerOp, e.Op)
}
func (e *UpgradeBegan) Fields(o Fields) Fields {
	return o.Number("from", uint64(e.From)).Number("to", uint64(e.To)).Number("op", e.Op).Number("trigger_op", e.TriggerOp)
}

// UpgradeEnded: the process ends, and the next release goes on from its data file.
type UpgradeEnded struct {
	From, To    uint32
	IsRestarted bool   // this process becomes that of the program
	Program     string // its file
	Status      int    // else: the exit status
	Reason      string // why not, if it was to
}

// UpgradeEnded emits the event.
func (l *Log) UpgradeEnded(e UpgradeEnded) { emit(l, kindUpgradeEnded, e) }

func (e *UpgradeEnded) Level() Level { return Info }
func (e *UpgradeEnded) Name() string { return "upgrade_ended" }
func (e *UpgradeEnded) Text(line []byte) []byte {
	line = fmt.Appendf(line, "upgrade: release %d has ended, release %d goes on from the data file; ", e.From, e.To)
	if e.IsRestarted {
		return fmt.Appendf(line, "this process starts anew with %s", e.Program)
	}
	line = fmt.Appendf(line, "this process ends with status %d, and is to be started again with a program that offers that release", e.Status)
	if e.Reason != "" {
		line = append(append(line, ": "...), e.Reason...)
	}
	return line
}
func (e *UpgradeEnded) Fields(o Fields) Fields {
	return o.Number("from", uint64(e.From)).Number("to", uint64(e.To)).Bool("restarted", e.IsRestarted).String("program", e.Program).
		Number("status", uint64(e.Status)).String("reason", e.Reason)
}
