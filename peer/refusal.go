package peer

import (
	"fmt"

	"ledger/wire"
)

// Reason of a refusal. The numbers are on the wire.
type Reason uint8

// Why two replicas do not speak to each other, in the order in which they are looked for.
const (
	ReasonNone Reason = iota
	ReasonMagic
	ReasonProtocol
	ReasonKeyed
	ReasonKey
	ReasonFrame
	ReasonCluster
	ReasonReplicas
	ReasonIndex
	ReasonTarget
	ReasonDirection
	ReasonFixed
	ReasonReleases
	ReasonRules
	ReasonBlockFormats
	ReasonIncarnation
	ReasonNonce
	ReasonProcess
	ReasonAttempt
	ReasonChanged
	ReasonDeadline
	ReasonStandby
	ReasonTag

	reasonsCount
)

// proven tells whether the sender of the refused frame has proven the key.
func (r Reason) proven() bool { return r > ReasonKey && r != ReasonDeadline && r != ReasonTag }

// Value of one side of a refusal: a number in Lo, a range from Lo to Hi, or 128 bits.
type Value struct{ Lo, Hi uint64 }

func (r Range) value() Value { return Value{uint64(r.Min), uint64(r.Max)} }

type valueKind uint8

const (
	valueNumber valueKind = iota
	valueRange
	valueWide
	valuePrint
)

// ofOneThatRan is said of options of format: nobody knows which of two files is the wrong one.
const ofOneThatRan = "in a cluster that has run, make the file that is wrong anew with ledger recover and not with format"

// reasons has for each reason what differs, how its values look, and what an operator can do.
var reasons = [reasonsCount]struct {
	what   string
	kind   valueKind
	advice string
}{
	ReasonNone:     {"nothing", valueNumber, ""},
	ReasonMagic:    {"first bytes", valueWide, "something that is no replica of a ledger uses this address"},
	ReasonProtocol: {"version of the peer protocol", valueNumber, "use servers of releases that can be upgraded to each other"},
	ReasonKeyed: {"use of a key (1: yes)", valueNumber,
		"give all replicas the key of the cluster by --cluster-key-file, or none; if all have it, something in the network poses as a replica"},
	ReasonKey: {"key of the cluster", valuePrint, "give all replicas the same --cluster-key-file, and while the key is replaced, both keys; " +
		"if all have it, something in the network poses as a replica"},
	ReasonFrame:   {"step of the handshake", valueNumber, "use servers of the same release, and report this as a bug"},
	ReasonCluster: {"cluster", valueWide, "correct --addresses, or the data file's path: one of them is of another cluster"},
	ReasonReplicas: {"number of replicas", valueNumber,
		"all replicas of a cluster need files of the same --replica-count; " + ofOneThatRan},
	ReasonIndex: {"index of the sender", valueNumber,
		"each replica needs a file with an index of its own, 0 to --replica-count - 1; " + ofOneThatRan},
	ReasonTarget:    {"index of the receiver", valueNumber, "give --addresses in the order of the indexes, the same on all replicas"},
	ReasonDirection: {"index that has to connect", valueNumber, "use servers of the same release, and report this as a bug"},
	ReasonFixed: {"format", valueNumber,
		"all replicas of a cluster need files of the same options of format and one release; " + ofOneThatRan},
	ReasonReleases:     {"releases", valueRange, "upgrade the older replica; releases must overlap"},
	ReasonRules:        {"rules of execution", valueRange, "upgrade the older replica; rules must overlap"},
	ReasonBlockFormats: {"formats of blocks", valueRange, "upgrade the older replica; formats must overlap"},
	ReasonIncarnation:  {"incarnation of the data file", valueNumber, "format the data file anew with this release, or recover the replica"},
	ReasonNonce:        {"echo of the nonce", valueWide, "nothing, if it is rare: an old message came late, or was repeated"},
	ReasonProcess:      {"process of this index", valueNumber, "stop one of the two processes that run with this index"},
	ReasonAttempt:      {"number of the connection", valueNumber, "nothing: a newer connection of the same process is there"},
	ReasonChanged:      {"frame", valueWide, "use servers of the same release, and report this as a bug"},
	ReasonStandby: {"standbys here, and index of a standby", valueNumber,
		"start every replica with --addresses that end with those of all standbys, in the order of their indexes"},
	ReasonTag:      {"tag", valueWide, "look for what changes bytes in the network between them, or poses as a replica"},
	ReasonDeadline: {"time for the handshake in ms", valueNumber, "look for a slow or broken network, or for a stranger on this port"},
}

// String returns what differs.
func (r Reason) String() string {
	if r < reasonsCount {
		return reasons[r].what
	}
	return "unknown"
}

// Refusal says why a connection between two replicas ended before they knew each other. Making one
// does not allocate; its text is for the one line that the caller logs.
type Refusal struct {
	Reason Reason
	// Peer is the index that the other side claims, or that was called; or PeerUnknown.
	Peer uint8
	// ByPeer: the other side has refused. Then Theirs is what it told of itself, where it did.
	ByPeer bool
	// Fixed is the index of the value that differs, for ReasonFixed; or that all values are equal
	// and only the digests differ, for fixedCount.
	Fixed        uint8
	Ours, Theirs Value
}

// PeerUnknown is in the place of an index: the other side has not said who it is.
const PeerUnknown = 255

// Refused tells whether there is a refusal.
func (r *Refusal) Refused() bool { return r.Reason != ReasonNone }

// Field is what differs.
func (r *Refusal) Field() string {
	if r.Reason == ReasonFixed && int(r.Fixed) < fixedCount {
		return fixedNames[r.Fixed]
	}
	if r.Reason == ReasonFixed {
		return "digest of the format"
	}
	return r.Reason.String()
}

// Error is the line for the log: field, both values, and the way out.
func (r *Refusal) Error() string {
	advice := "unknown to this release"
	if r.Reason < reasonsCount {
		advice = reasons[r.Reason].advice
	}
	ours, theirs := r.Values()
	who := fmt.Sprintf("replica %d refused", r.Peer)
	switch {
	case r.ByPeer:
		who = fmt.Sprintf("refused by replica %d", r.Peer)
	case r.Peer == PeerUnknown:
		who = "unknown peer refused"
	}
	switch r.Reason { // nothing differs
	case ReasonDeadline:
		return fmt.Sprintf("%s: the handshake took longer than %s ms: %s", who, ours, advice)
	case ReasonTag:
		return fmt.Sprintf("%s: the tag %s of a frame is wrong: %s", who, theirs, advice)
	}
	return fmt.Sprintf("%s: %s: ours is %s, theirs is %s: %s", who, r.Field(), ours, theirs, advice)
}

// Values are both values as text.
func (r *Refusal) Values() (ours, theirs string) {
	text := func(v Value) string { return fmt.Sprint(v.Lo) }
	if r.Reason < reasonsCount {
		switch kind := reasons[r.Reason].kind; {
		case kind == valuePrint:
			text = func(v Value) string { return fmt.Sprintf("%016x", v.Lo) }
		case kind == valueRange:
			text = func(v Value) string { return fmt.Sprintf("%d to %d", v.Lo, v.Hi) }
		case kind == valueWide || r.Reason == ReasonFixed && int(r.Fixed) == fixedCount:
			text = func(v Value) string { return fmt.Sprintf("%016x%016x", v.Hi, v.Lo) }
		}
		if r.Reason == ReasonCluster {
			text = func(v Value) string { return wire.U128(v).String() }
		}
	}
	return text(r.Ours), text(r.Theirs)
}
