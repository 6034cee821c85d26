package events

import (
	"fmt"
	"time"

	"ledger/wire"
)

// The events about what a replica of several does for clients.

// ViewBegan: clients are served in a view for the first time.
type ViewBegan struct {
	View    uint32
	Primary uint8
	IsSelf  bool   // the primary is this replica
	Cause   string // why the view before was left; "" at a start
	AwayNs  uint64 // in which this replica served no clients before; 0 at a start
}

// ViewBegan emits the event.
func (l *Log) ViewBegan(e ViewBegan) { emit(l, kindViewBegan, e) }

func (e *ViewBegan) Level() Level { return Info }
func (e *ViewBegan) Name() string { return "view_began" }
func (e *ViewBegan) Text(line []byte) []byte {
	line = fmt.Appendf(line, "view %d: replica %d is the primary", e.View, e.Primary)
	if e.IsSelf {
		line = append(line, " (this one)"...)
	}
	if e.Cause != "" {
		line = fmt.Appendf(line, ", because %s; %v without service here", e.Cause, time.Duration(e.AwayNs).Round(time.Millisecond))
	}
	return line
}
func (e *ViewBegan) Fields(o Fields) Fields {
	return o.Number("view", uint64(e.View)).Number("primary", uint64(e.Primary)).Bool("self", e.IsSelf).String("cause", e.Cause).
		Number("away_ns", e.AwayNs)
}

// ServiceStopped: this replica does not serve clients, or this standby does not follow, for a
// reason that may last.
type ServiceStopped struct {
	View      uint32
	Reason    string
	IsStandby bool
}

// ServiceStopped emits the event.
func (l *Log) ServiceStopped(e ServiceStopped) { emit(l, kindServiceStopped, e) }

func (e *ServiceStopped) Level() Level { return Warning }
func (e *ServiceStopped) Name() string { return "service_stopped" }
func (e *ServiceStopped) Text(line []byte) []byte {
	if e.IsStandby {
		return fmt.Appendf(line, "view %d: this standby does not follow: %s", e.View, e.Reason)
	}
	return fmt.Appendf(line, "view %d: clients are not served here: %s", e.View, e.Reason)
}
func (e *ServiceStopped) Fields(o Fields) Fields {
	return o.Number("view", uint64(e.View)).String("reason", e.Reason).Bool("standby", e.IsStandby)
}

// ServiceAgain: clients are served again, in the view in which they were, or a standby follows
// again.
type ServiceAgain struct {
	View      uint32
	AwayNs    uint64
	IsStandby bool
}

// ServiceAgain emits the event.
func (l *Log) ServiceAgain(e ServiceAgain) { emit(l, kindServiceAgain, e) }

func (e *ServiceAgain) Level() Level { return Info }
func (e *ServiceAgain) Name() string { return "service_again" }
func (e *ServiceAgain) Text(line []byte) []byte {
	if e.IsStandby {
		return fmt.Appendf(line, "view %d: this standby follows again, after %v", e.View, time.Duration(e.AwayNs).Round(time.Millisecond))
	}
	return fmt.Appendf(line, "view %d: clients are served here again, after %v", e.View, time.Duration(e.AwayNs).Round(time.Millisecond))
}
func (e *ServiceAgain) Fields(o Fields) Fields {
	return o.Number("view", uint64(e.View)).Number("away_ns", e.AwayNs).Bool("standby", e.IsStandby)
}

// StandbyClient: a client has come to a standby, which gives it no answer.
type StandbyClient struct{ Replicas uint8 }

// StandbyClient emits the event.
func (l *Log) StandbyClient(e StandbyClient) { emit(l, kindStandbyClient, e) }

func (e *StandbyClient) Level() Level { return Warning }
func (e *StandbyClient) Name() string { return "standby_client" }
func (e *StandbyClient) Text(line []byte) []byte {
	return fmt.Appendf(line, "a client has sent a message to this standby, which answers no client: give clients the addresses of the %d "+
		"replicas only", e.Replicas)
}
func (e *StandbyClient) Fields(o Fields) Fields { return o.Number("replicas", uint64(e.Replicas)) }

// BlocksLost: blocks of the data file are damaged here, and no other replica has brought them. What
// needs them waits.
type BlocksLost struct {
	Count        int
	Address      uint64 // of the one that was wanted first
	Checksum     wire.Checksum
	Tree         string // whose block it is; empty: not known
	WaitedNs     uint64
	IsEverywhere bool // all other replicas have said that they have not got it
}

// BlocksLost emits the event.
func (l *Log) BlocksLost(e BlocksLost) { emit(l, kindBlocksLost, e) }

func (e *BlocksLost) Level() Level { return Warning }
func (e *BlocksLost) Name() string { return "blocks_lost" }
func (e *BlocksLost) Text(line []byte) []byte {
	line = fmt.Appendf(line, "block %d", e.Address)
	if e.Tree != "" {
		line = fmt.Appendf(line, " of %s", e.Tree)
	}
	line = fmt.Appendf(line, ", checksum %v, is damaged here and has not come from another replica for %v", e.Checksum,
		time.Duration(e.WaitedNs).Round(100*time.Millisecond))
	if e.Count > 1 {
		line = fmt.Appendf(line, ", nor have %d others", e.Count-1)
	}
	if e.IsEverywhere {
		return fmt.Appendf(line, ": all other replicas have answered that they have not got it; "+
			"requests that need it wait until a replica that has it is back")
	}
	return fmt.Appendf(line, ": it is asked for again, and requests that need it wait; are all replicas up?")
}
func (e *BlocksLost) Fields(o Fields) Fields {
	return o.Number("blocks", uint64(e.Count)).Number("address", e.Address).String("checksum", e.Checksum.String()).
		String("tree", e.Tree).Number("waited_ns", e.WaitedNs).Bool("everywhere", e.IsEverywhere)
}

// BlocksFound: all blocks that were lost are whole again.
type BlocksFound struct{}

// BlocksFound emits the event.
func (l *Log) BlocksFound(e BlocksFound) { emit(l, kindBlocksFound, e) }

func (e *BlocksFound) Level() Level { return Info }
func (e *BlocksFound) Name() string { return "blocks_found" }
func (e *BlocksFound) Text(line []byte) []byte {
	return append(line, "the blocks that no replica had brought are whole again"...)
}
func (e *BlocksFound) Fields(o Fields) Fields { return o }
