package peer

// Command says what a message is. The numbers are on the wire.
type Command uint8

// The messages of the protocol; docs/design/peer.md has their fields.
const (
	CommandNone             Command = 0
	CommandPing             Command = 1
	CommandPong             Command = 2
	CommandCommit           Command = 3 // the primary's heartbeat
	CommandCommitEcho       Command = 4
	CommandPrepare          Command = 5
	CommandPrepareOK        Command = 6
	CommandRequest          Command = 7 // a client's request, forwarded
	CommandStartViewChange  Command = 8
	CommandDoViewChange     Command = 9
	CommandStartView        Command = 10
	CommandRequestStartView Command = 11
	CommandRequestHeaders   Command = 12
	CommandHeaders          Command = 13
	CommandRequestPrepare   Command = 14
	CommandRepairPrepare    Command = 15 // the answer: a prepare of the log
	CommandPrepareMissing   Command = 16 // the answer: not here, or damaged. It is never a nack.
	CommandRequestBlocks    Command = 17
	CommandBlock            Command = 18
	CommandBlockMissing     Command = 19

	commandsCount = 20
)

// Class orders the messages that wait for one peer.
type Class uint8

const (
	ClassUrgent Class = iota // acknowledgements, heartbeats, votes: head only, sent first
	ClassNormal              // prepares and the logs of a view change
	ClassRepair              // a quarter of the bytes while others wait
	ClassesCount
)

// String returns the name in the metrics.
func (c Class) String() string { return [ClassesCount]string{"urgent", "normal", "repair"}[c] }

// rule is what a command fixes.
type rule struct {
	name  string
	class Class
}

var rules = [commandsCount]rule{
	CommandNone:             {"message", ClassUrgent},
	CommandPing:             {"ping", ClassUrgent},
	CommandPong:             {"pong", ClassUrgent},
	CommandCommit:           {"commit", ClassUrgent},
	CommandCommitEcho:       {"commit_echo", ClassUrgent},
	CommandPrepare:          {"prepare", ClassNormal},
	CommandPrepareOK:        {"prepare_ok", ClassUrgent},
	CommandRequest:          {"request", ClassNormal},
	CommandStartViewChange:  {"start_view_change", ClassUrgent},
	CommandDoViewChange:     {"do_view_change", ClassNormal},
	CommandStartView:        {"start_view", ClassNormal},
	CommandRequestStartView: {"request_start_view", ClassUrgent},
	CommandRequestHeaders:   {"request_headers", ClassUrgent},
	CommandHeaders:          {"headers", ClassRepair},
	CommandRequestPrepare:   {"request_prepare", ClassUrgent},
	CommandRepairPrepare:    {"repair_prepare", ClassRepair},
	CommandPrepareMissing:   {"prepare_missing", ClassUrgent},
	CommandRequestBlocks:    {"request_blocks", ClassUrgent},
	CommandBlock:            {"block", ClassRepair},
	CommandBlockMissing:     {"block_missing", ClassUrgent},
}

// Known tells whether the protocol has c.
func (c Command) Known() bool { return c > CommandNone && c < commandsCount }

// String returns the command's name in the tables.
func (c Command) String() string {
	if c < commandsCount {
		return rules[c].name
	}
	return "unknown"
}

// OfStandby tells whether a standby may send c. It never acknowledges, votes, serves repair or
// passes requests on.
func (c Command) OfStandby() bool {
	switch c {
	case CommandPing, CommandPong, CommandRequestStartView, CommandRequestHeaders, CommandRequestPrepare, CommandRequestBlocks:
		return true
	}
	return false
}

// ToStandby tells whether a standby takes c. It takes what it follows, and the answers to what it
// asks for.
func (c Command) ToStandby() bool {
	switch c {
	case CommandPing, CommandPong, CommandCommit, CommandPrepare, CommandStartView, CommandHeaders, CommandRepairPrepare,
		CommandPrepareMissing, CommandBlock, CommandBlockMissing:
		return true
	}
	return false
}

// Class of a known command.
func (c Command) Class() Class { return rules[c].class }
