package vsr

import (
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Nothing that a running replica asks this package allocates.
func TestNothingAllocates(t *testing.T) {
	q, l := QuorumsOf(3), limits.Production()
	headers := chained(1, 1, 1, 1, 1)
	var log Log = logOf(headers, "hh.hhh")
	start, _ := StartList(log, 5, 3)
	a, _, y, _ := committedByAAndX(t)
	ballots := []*Ballot{a.vote(2), nil, y.vote(2)}
	heard := []uint64{0, 5, 5}
	peers := []Cost{{1, 1}, {2, 2}}
	var uncertain Set
	var detector Detector
	var slow Slow
	blocks := connectedBlocks(0, 3)
	budget, timeout, tally := connectedBudget(0, 3), NewTimeout(TimersOf().LogRepair), StartTally(1, wire.Checksum{}, &prepare.Members{})
	nowNs, sink := uint64(0), uint64(0)
	for what, f := range map[string]func(){
		"Choose": func() { sink += Choose(&q, PipelineMax, ballots).OpHead },
		"Forfeit": func() {
			next, _ := Forfeit(&q, 3, 1, ballots, false)
			sink += uint64(next)
		},
		"Freeze": func() {
			list := Freeze(log, &start, 5, 3, &uncertain)
			present, nack := list.Bits(log)
			sink += uint64(present | nack)
		},
		"lists": func() {
			list, _ := StartList(log, 5, 4, 1, 0)
			list = RefreshList(log, &list, 5, 4, 1, 0)
			sink += uint64(len(list.CheckStart(1, 4, PipelineMax))) + uint64(len(ballots[0].Check(2, PipelineMax)))
		},
		"gaps": func() {
			from, to := HeaderGap(log, 5, 1)
			sink += from + to + NextPrepare(log, 1, 5)
		},
		"rules": func() {
			ack := Ack{Op: 5, View: 1, LogView: 1, To: 1, IsInLog: true, IsWritten: true, IsNormal: true}
			fill := Fill{Header: headers[3], Head: headers[5], View: 1, ChainFrom: 4, ChainParent: headers[3].Checksum}
			follow := Start{View: 4, From: 1, OwnView: 3}
			apply := Apply{Op: 1, Next: 1, CommitMax: 1, OpHead: 1, IsVouched: true}
			sink += uint64(ack.Breaks(&q, &l)) + uint64(len(fill.Refused())) + uint64(len(follow.Ignored(&q)))
			if apply.May(&q) && tally.Add(1, 1, 1, wire.Checksum{}) && tally.IsCommitted(&q) {
				sink++
			}
		},
		"times": func() {
			nowNs += ms
			detector.Heard(nowNs)
			timeout.Start(nowNs, nowNs)
			timeout.Again(nowNs, timeout.PeriodNs(), nowNs)
			deaf := Deaf{WaitingSinceNs: 1, HeardNs: heard}
			if deaf.Is(&q, nowNs) || slow.Sample(nowNs, Cost{1, 1}, peers) || timeout.Fired(nowNs) {
				sink++
			}
			sink += uint64(detector.Alarm(nowNs)) + detector.NextNs(nowNs)
		},
		"budget": func() {
			nowNs += ms
			peer, _ := budget.Ask(nowNs, Wanted{Op: nowNs}, nowNs)
			budget.Answered(peer, nowNs, nowNs, wire.Checksum{})
			sink += uint64(budget.AskAll(nowNs, Wanted{Op: nowNs})) + uint64(budget.Expire(nowNs)) + budget.NextNs()
		},
		"blocks": func() {
			nowNs += 300 * ms
			blocks.Want(nowNs, testBlock(1))
			peer, _, count, _ := blocks.Ask(nowNs, nowNs)
			blocks.Missing(nowNs, peer, testBlock(1))
			token, _ := blocks.Arrived(nowNs, peer, testBlock(1))
			blocks.Refused(nowNs, token)
			sink += uint64(count) + blocks.NextNs(nowNs)
			blocks.Unwant(testBlock(1))
		},
	} {
		if count := testing.AllocsPerRun(200, f); count != 0 {
			t.Errorf("%s allocates %v times", what, count)
		}
	}
	_ = sink
}
