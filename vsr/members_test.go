package vsr

import (
	"testing"

	"ledger/prepare"
)

// ballotOfFile is a ballot of the data file with a number, whose log ends at head with a table.
func ballotOfFile(file uint64, logView uint32, head uint64, members prepare.Members) *Ballot {
	b := &Ballot{LogView: logView, Incarnation: file}
	b.List.Count, b.List.Headers[0] = 1, Header{Op: head, View: logView, Members: members}
	return b
}

// Goal: the newest table judges, of the ballots' logs and of the own state, whoever tells of it.
func TestCounted(t *testing.T) {
	none, first, second := prepare.Members{}, prepare.Members{1, 2, 3}, prepare.Members{1, 2, 33}
	cases := []struct {
		name    string
		own     Known
		ballots []*Ballot
		want    [3]bool
		table   prepare.Members
	}{
		{"no table: all count", Known{}, []*Ballot{ballotOfFile(7, 0, 0, none), nil, ballotOfFile(8, 0, 0, none)},
			[3]bool{true, false, true}, none},
		{"a table names other files", Known{9, first}, []*Ballot{ballotOfFile(1, 0, 9, first), nil, ballotOfFile(33, 0, 0, none)},
			[3]bool{true, false, false}, first},
		{"the new primary lags behind another", Known{9, first}, []*Ballot{ballotOfFile(1, 4, 9, first), ballotOfFile(2, 4, 20, second),
			ballotOfFile(3, 4, 9, first)}, [3]bool{true, true, false}, second},
		{"the recovered replica itself brings the table", Known{9, first}, []*Ballot{ballotOfFile(1, 4, 9, first), nil,
			ballotOfFile(33, 5, 20, second)}, [3]bool{true, false, true}, second},
		{"a later log_view, though its head is lower", Known{9, first}, []*Ballot{ballotOfFile(1, 4, 30, first), nil,
			ballotOfFile(33, 5, 20, second)}, [3]bool{true, false, true}, second},
		{"the own state is newer than all logs", Known{30, second}, []*Ballot{ballotOfFile(1, 4, 9, first), nil, ballotOfFile(3, 4, 20, first)},
			[3]bool{true, false, false}, second},
		{"no ballots", Known{30, second}, make([]*Ballot, 3), [3]bool{}, second},
	}
	for _, c := range cases {
		counted := make([]*Ballot, 3)
		if table := Counted(&c.own, c.ballots, counted); table != c.table {
			t.Errorf("%s: the table is %v, want %v", c.name, table, c.table)
		}
		for i, b := range counted {
			if (b != nil) != c.want[i] || b != nil && b != c.ballots[i] {
				t.Errorf("%s: ballot %d counts: %v, want %v", c.name, i, b != nil, c.want[i])
			}
		}
	}
}

// Goal: an old file and its replacement are never both believed. A file of replica 0 was replaced:
// a quorum without replica 0 has acknowledged op 20, which came behind the op that named the new
// file. All others may know less: the table before, or none. Whoever is the new primary, and
// whichever ballots have come: if those that count are enough to choose a log, the old file's is
// not among them; and the new file's counts as soon as one of that quorum has answered.
func TestReplacedFileNeverCounts(t *testing.T) {
	const oldFile, newFile = 100, 999
	for replicas := 3; replicas <= 6; replicas++ {
		q := QuorumsOf(replicas)
		var before, after prepare.Members
		for i := range replicas {
			before[i], after[i] = uint64(oldFile+i), uint64(oldFile+i)
		}
		after[0] = newFile
		checked := 0
		// Of each other replica: it has op 20 (0), or only the table before (1), or nothing (2); and it
		// has answered or not.
		ways := 1
		for range replicas - 1 {
			ways *= 6
		}
		for way := range ways {
			ballots, knowers, answered := make([]*Ballot, replicas), 0, false
			knows := make([]Known, replicas)
			for i, rest := 1, way; i < replicas; i, rest = i+1, rest/6 {
				b := (*Ballot)(nil)
				switch rest % 3 {
				case 0:
					b, knowers = ballotOfFile(before[i], 4, 20, after), knowers+1
				case 1:
					b = ballotOfFile(before[i], 4, 11, before)
				case 2:
					b = ballotOfFile(before[i], 0, 0, prepare.Members{})
				}
				// What a replica has executed lags behind its log.
				knows[i] = Known{Op: b.List.Head() / 2, Members: prepare.Members{}}
				if rest%3 == 0 {
					knows[i].Members = before
				}
				if rest%6 < 3 {
					ballots[i] = b
					answered = answered || rest%3 == 0
				}
			}
			if knowers < q.Replication {
				continue
			}
			for primary := 1; primary < replicas; primary++ {
				if ballots[primary] == nil {
					continue
				}
				for _, first := range []*Ballot{ballotOfFile(oldFile, 4, 12, before), ballotOfFile(oldFile, 3, 30, before),
					ballotOfFile(newFile, 0, 0, prepare.Members{}), ballotOfFile(newFile, 6, 40, after)} {
					ballots[0] = first
					counted := make([]*Ballot, replicas)
					Counted(&knows[primary], ballots, counted)
					count := 0
					for _, b := range counted {
						if b != nil {
							count++
						}
					}
					checked++
					if count >= q.ViewChange && counted[0] != nil && counted[0].Incarnation == oldFile {
						t.Fatalf("%d replicas, way %d, primary %d: a log is chosen with the vote of a replaced file", replicas, way, primary)
					}
					if answered && first.Incarnation == newFile && counted[0] == nil {
						t.Fatalf("%d replicas, way %d, primary %d: the new file does not count", replicas, way, primary)
					}
				}
			}
		}
		t.Logf("%d replicas: %d sets of ballots", replicas, checked)
	}
}
