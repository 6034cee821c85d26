package probe

import (
	"fmt"
	"strings"
	"time"

	"ledger/vsr"
	"ledger/wire"
)

// State is what one address did.
type State string

const (
	StateAnswers      State = "answers"       // pong_client came
	StateEvicted      State = "evicted"       // the release of the probe is not served
	StateNoName       State = "no_name"       // the host has no address
	StateRefused      State = "refused"       // nobody listens at the port
	StateUnreachable  State = "unreachable"   // no route, or no answer to the connect
	StateFull         State = "full"          // the connection was closed before anything was sent
	StateOtherCluster State = "other_cluster" // the connection was closed at the first message
	StateForeign      State = "foreign"       // an answer that is none of the protocol
	StateSilent       State = "silent"        // the connection stands, and no answer came
)

// Replica is what one address of the list did.
type Replica struct {
	Index     int           `json:"index"` // in the list
	Address   string        `json:"address"`
	State     State         `json:"state"`
	Detail    string        `json:"detail,omitempty"` // of the system or the server
	Replica   uint8         `json:"replica"`          // as the server says; valid with StateAnswers
	View      uint32        `json:"view"`
	Release   string        `json:"release,omitempty"` // as the server announces
	Client    string        `json:"client,omitempty"`  // release of the client that was asked for last
	RoundTrip time.Duration `json:"round_trip_ns"`     // of the ping
	IsPrimary bool          `json:"primary"`           // it takes requests

	announced wire.Release        // with the eviction
	reason    wire.EvictionReason // valid with StateEvicted
}

// Verdict is what a client would meet.
type Verdict string

const (
	VerdictServed        Verdict = "served"
	VerdictNobodyListens Verdict = "nobody_listens"
	VerdictOtherCluster  Verdict = "another_cluster"
	VerdictNoQuorum      Verdict = "no_quorum"
	VerdictRelease       Verdict = "release"
	VerdictNoSession     Verdict = "no_session" // set by callers, which know the sessions
	VerdictSilent        Verdict = "silent"
)

// Report of a probe.
type Report struct {
	Verdict  Verdict   `json:"verdict"`
	Text     string    `json:"text"`             // why, in a sentence
	Remedy   string    `json:"remedy,omitempty"` // the way out
	Notes    []string  `json:"notes,omitempty"`  // what does not keep a client from being served
	Replicas []Replica `json:"replicas"`
}

// count the replicas in a state.
func (r *Report) count(states ...State) (count int) {
	for i := range r.Replicas {
		for _, state := range states {
			if r.Replicas[i].State == state {
				count++
			}
		}
	}
	return count
}

// where lists the addresses in these states.
func (r *Report) where(states ...State) string {
	var list []string
	for i := range r.Replicas {
		for _, state := range states {
			if r.Replicas[i].State == state {
				list = append(list, r.Replicas[i].Address)
			}
		}
	}
	return strings.Join(list, ", ")
}

// judge fills in the verdict. A primary that takes requests decides. Without one, the state that
// explains most comes first: a server that answers says more than one that does not.
func (r *Report) judge(cluster wire.U128, release wire.Release, timeout time.Duration) {
	count := len(r.Replicas)
	quorums := vsr.QuorumsOf(count)
	answering := r.count(StateAnswers)
	primary := -1
	for i := range r.Replicas {
		if r.Replicas[i].IsPrimary {
			primary = i
		}
	}
	set := func(verdict Verdict, text, remedy string) { r.Verdict, r.Text, r.Remedy = verdict, text, remedy }
	switch {
	case primary >= 0 && answering >= quorums.Replication:
		set(VerdictServed, fmt.Sprintf("%s takes requests", r.Replicas[primary].Address), "")
	case primary >= 0:
		set(VerdictNoQuorum, fmt.Sprintf("%s takes requests, but %d of %d replicas answer, and %d have to keep an op before it is answered",
			r.Replicas[primary].Address, answering, count, quorums.Replication), "start the replicas that do not answer: "+r.missing())
	case r.count(StateEvicted) > 0:
		set(VerdictRelease, fmt.Sprintf("clients of release %s are not served: %s", releases(release), r.detail(StateEvicted)),
			"use a client library of a release that is served, or start the server with --client-release-max")
	case answering > 0 && answering < quorums.ViewChange:
		set(VerdictNoQuorum, fmt.Sprintf("%d of %d replicas answer, and %d are needed to choose a primary", answering, count, quorums.ViewChange),
			"start the replicas that do not answer: "+r.missing())
	case answering > 0:
		set(VerdictNoQuorum, fmt.Sprintf("%d of %d replicas answer, and none takes requests: they are choosing a primary, or do not reach "+
			"each other, or the list does not name all of them", answering, count),
			"ask again in some seconds; then see that each replica reaches the others at the addresses of its --addresses")
	case r.count(StateOtherCluster) > 0:
		set(VerdictOtherCluster, fmt.Sprintf("%s closes connections of cluster %s: %s", r.where(StateOtherCluster), cluster,
			r.detail(StateOtherCluster)),
			"name the cluster with --cluster as ledger inspect superblock FILE shows it, or the address of the right server")
	case r.count(StateSilent) > 0:
		set(VerdictSilent, fmt.Sprintf("%s has taken the connection and does not answer within %s: the server executes its log after a start, "+
			"is stopped or waits for its disk, or this is another service", r.where(StateSilent), timeout),
			"look at the server's log, or at /readyz of its metrics address (--metrics names it here)")
	case r.count(StateFull) > 0:
		set(VerdictNoSession, fmt.Sprintf("%s closes new connections at once: all its connections belong to registered clients",
			r.where(StateFull)), "close clients, or format with a larger --clients-max and see that the limit on open files allows it")
	case r.count(StateForeign) > 0:
		set(VerdictNobodyListens, fmt.Sprintf("what listens at %s is no server of this protocol: %s", r.where(StateForeign),
			r.detail(StateForeign)), "name the address of --addresses of the server, not that of its metrics or of another service")
	default:
		set(VerdictNobodyListens, "no server listens: "+r.each(), "start the servers, or name the addresses at which they listen")
	}
	r.note(release)
}

// releases names the release that was asked for, or those of this program if it was none in
// particular.
func releases(asked wire.Release) string {
	if asked == 0 {
		return fmt.Sprintf("%s to %s", wire.ReleaseSpokenMin, wire.ReleaseCurrent)
	}
	return asked.String()
}

// missing lists the addresses that do not answer.
func (r *Report) missing() string {
	return r.where(StateEvicted, StateNoName, StateRefused, StateUnreachable, StateFull, StateOtherCluster, StateForeign, StateSilent)
}

// detail is that of the first replica in a state.
func (r *Report) detail(state State) string {
	for i := range r.Replicas {
		if r.Replicas[i].State == state {
			return r.Replicas[i].Detail
		}
	}
	return ""
}

func (r *Report) each() string {
	var list []string
	for i := range r.Replicas {
		list = append(list, fmt.Sprintf("%s: %s", r.Replicas[i].Address, r.Replicas[i].Detail))
	}
	return strings.Join(list, "; ")
}

// note what an operator should know although clients are served.
func (r *Report) note(asked wire.Release) {
	for i := range r.Replicas {
		p := &r.Replicas[i]
		if asked == 0 && p.IsLowered() {
			r.Notes = append(r.Notes, fmt.Sprintf("%s evicts clients of release %s with client_release_too_high; it was asked as one of %s, "+
				"as which the commands of this program speak to it", p.Address, wire.ReleaseCurrent, p.Client))
		}
		switch {
		case p.State == StateAnswers && int(p.Replica) != p.Index:
			r.Notes = append(r.Notes, fmt.Sprintf("%s is item %d of the list and says that it is replica %d: name all replicas, by index, "+
				"or clients ask the wrong one first", p.Address, p.Index+1, p.Replica))
		case p.State != StateAnswers && r.Verdict == VerdictServed:
			r.Notes = append(r.Notes, fmt.Sprintf("%s: %s", p.Address, p.Say()))
		}
	}
}

// IsLowered tells whether the replica answers clients of an older release than this program's only.
func (p *Replica) IsLowered() bool {
	return p.State == StateAnswers && p.Client != "" && p.Client != wire.ReleaseCurrent.String()
}

// Say describes what a replica did, in a line.
func (p *Replica) Say() string {
	switch p.State {
	case StateAnswers:
		role := "takes no requests"
		if p.IsPrimary {
			role = "takes requests"
		}
		return fmt.Sprintf("replica %d, view %d, release %s, %s, %s", p.Replica, p.View, p.Release, role, p.RoundTrip.Round(time.Microsecond))
	case StateEvicted:
		return "does not serve this release: " + p.Detail
	case StateNoName:
		return "the host has no address: " + p.Detail
	case StateRefused:
		return "nobody listens: " + p.Detail
	case StateUnreachable:
		return "is not reached: " + p.Detail
	case StateFull:
		return "has no room for a connection: " + p.Detail
	case StateOtherCluster:
		return "serves another cluster: " + p.Detail
	case StateForeign:
		return "speaks another protocol: " + p.Detail
	}
	return "does not answer: " + p.Detail
}
