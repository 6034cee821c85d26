package vsr

import "ledger/prepare"

// Known is the table of members that a replica knows from its own state, as of an op that it has
// executed.
type Known struct {
	Op      uint64
	Members prepare.Members
}

// Counted fills counted with those of the ballots that count: whose data file is the one that the
// newest table names as its replica. It returns that table.
//
// The newest table is that of the head of the log which the ballots tell of: of the highest
// log_view, and there of the highest op. Ballots that do not count tell of that log as well,
// because a log is what it is whoever has it. own is newer if the new primary has executed more. So
// one that lags, or has started anew in the middle of a view change, judges by what the others
// know.
//
// A file that ledger recover made counts only where the table names it. It was made for a cluster
// whose log has such a table. Beside files that know of none, it is no proof that the log is empty.
func Counted(own *Known, ballots, counted []*Ballot) (members prepare.Members) {
	var newest *Ballot
	for _, b := range ballots {
		if b != nil && (newest == nil || b.isNewer(newest)) {
			newest = b
		}
	}
	members = own.Members
	if newest != nil && newest.List.Head() >= own.Op {
		members = newest.List.Headers[0].Members
	}
	for i, b := range ballots {
		counted[i] = nil
		if b != nil && members.Counts(i, b.Incarnation) && (!b.IsRecovered || members[i] == b.Incarnation) {
			counted[i] = b
		}
	}
	return members
}

func (b *Ballot) isNewer(other *Ballot) bool {
	return b.LogView > other.LogView || b.LogView == other.LogView && b.List.Head() > other.List.Head()
}
