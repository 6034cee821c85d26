package events

import "fmt"

// The events about other replicas of the cluster.

// PeerRefused: this replica and another one do not speak to each other.
type PeerRefused struct {
	Peer         Peer
	Line         string // who refused, the field, both values, and what to do
	Field        string
	Ours, Theirs string
	Unlogged     uint64 // refusals since the last line
}

// PeerRefused emits the event.
func (l *Log) PeerRefused(e PeerRefused) { emit(l, kindPeerRefused, e) }

func (e *PeerRefused) Level() Level { return Warning }
func (e *PeerRefused) Name() string { return "peer_refused" }
func (e *PeerRefused) Text(line []byte) []byte {
	return fmt.Appendf(line, "%s (%s; refusals without a line since the last one: %d)", e.Line, e.Peer, e.Unlogged)
}
func (e *PeerRefused) Fields(o Fields) Fields {
	return o.Peer("peer", e.Peer).String("field", e.Field).String("ours", e.Ours).String("theirs", e.Theirs).Number("unlogged", e.Unlogged)
}

// PeerStorageSmall: a replica could not take the data file of another one, because of its
// --limit-storage.
type PeerStorageSmall struct {
	Replica    uint8 // whose limit it is
	LimitBytes uint64
	FileBytes  uint64 // of the other one
}

// PeerStorageSmall emits the event.
func (l *Log) PeerStorageSmall(e PeerStorageSmall) { emit(l, kindPeerStorageSmall, e) }

func (e *PeerStorageSmall) Level() Level { return Warning }
func (e *PeerStorageSmall) Name() string { return "peer_storage_small" }
func (e *PeerStorageSmall) Text(line []byte) []byte {
	return fmt.Appendf(line, "replica %d: --limit-storage is %d MiB, and another replica's data file has %d MiB: it could not take that file "+
		"if it had to: raise its --limit-storage", e.Replica, e.LimitBytes>>20, (e.FileBytes+1<<20-1)>>20)
}
func (e *PeerStorageSmall) Fields(o Fields) Fields {
	return o.Number("replica", uint64(e.Replica)).Number("limit_bytes", e.LimitBytes).Number("file_bytes", e.FileBytes)
}

// PeerFault: a connection with a replica ended, because a message from there breaks a rule.
type PeerFault struct {
	Replica     uint8
	Peer        Peer
	Reason      string // field, value and rule
	IsAuthentic bool   // the replica has made the message; otherwise its bytes were changed on the way
	Unlogged    uint64 // such connections since the last line
}

// PeerFault emits the event.
func (l *Log) PeerFault(e PeerFault) { emit(l, kindPeerFault, e) }

func (e *PeerFault) Level() Level { return Warning }
func (e *PeerFault) Name() string { return "peer_fault" }
func (e *PeerFault) Text(line []byte) []byte {
	remedy := "look for what changes bytes in the network between them"
	if e.IsAuthentic {
		remedy = "use servers of the same release, and report this as a bug"
	}
	return fmt.Appendf(line, "replica %d (%s): closed the connection, because a message breaks a rule: %s: %s (such connections without "+
		"a line since the last one: %d)", e.Replica, e.Peer, e.Reason, remedy, e.Unlogged)
}
func (e *PeerFault) Fields(o Fields) Fields {
	return o.Number("replica", uint64(e.Replica)).Peer("peer", e.Peer).String("reason", e.Reason).Bool("authentic", e.IsAuthentic).
		Number("unlogged", e.Unlogged)
}

// PeerUnresolved: the name of a replica has no address.
type PeerUnresolved struct {
	Replica uint8
	Host    string
	Reason  string
}

// PeerUnresolved emits the event.
func (l *Log) PeerUnresolved(e PeerUnresolved) { emit(l, kindPeerUnresolved, e) }

func (e *PeerUnresolved) Level() Level { return Warning }
func (e *PeerUnresolved) Name() string { return "peer_unresolved" }
func (e *PeerUnresolved) Text(line []byte) []byte {
	return fmt.Appendf(line, "replica %d: its host %q in --addresses has no address: %s: correct the name, or the name server; it is asked "+
		"again until it answers", e.Replica, e.Host, e.Reason)
}
func (e *PeerUnresolved) Fields(o Fields) Fields {
	return o.Number("replica", uint64(e.Replica)).String("host", e.Host).String("reason", e.Reason)
}

// ClusterKey tells by which key replicas know each other.
type ClusterKey struct {
	Print     string // of the key for what this replica begins; "": there is none
	Second    string // of the one that is accepted as well; "": there is none
	IsExposed bool   // another replica is not on this machine
}

// ClusterKey emits the event.
func (l *Log) ClusterKey(e ClusterKey) { emit(l, kindClusterKey, e) }

func (e *ClusterKey) Level() Level {
	if e.Print == "" && e.IsExposed {
		return Warning
	}
	return Info
}
func (e *ClusterKey) Name() string { return "cluster_key" }
func (e *ClusterKey) Text(line []byte) []byte {
	switch {
	case e.Print == "":
		return append(line, "cluster key: none: a program that reaches this port can pose as a replica; --cluster-key-file keeps it out"...)
	case e.Second == "":
		return fmt.Appendf(line, "cluster key: %s", e.Print)
	}
	return fmt.Appendf(line, "cluster key: %s, and %s is accepted as well, while one replaces the other", e.Print, e.Second)
}
func (e *ClusterKey) Fields(o Fields) Fields {
	return o.String("print", e.Print).String("second", e.Second).Bool("exposed", e.IsExposed)
}
