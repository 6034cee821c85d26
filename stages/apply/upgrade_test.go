package apply

import (
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// upgradeMessage is the prepare of an upgrade op.
func upgradeMessage(op, timestamp uint64, to prepare.Upgrade) []byte {
	f := prepare.Fields{Cluster: cluster, Op: op, Timestamp: timestamp, RequestsCount: 1, Command: prepare.CommandPrepare,
		RequestLimit: 4096, Rules: limits.RulesFirst}
	to.Put(&f)
	message := make([]byte, prepare.HeaderBytes)
	prepare.Put(message, &f, prepare.Sum(nil))
	return message
}

// Goal: a checkpoint is of the release that runs, unless upgrade ops end at its trigger: then it is
// of theirs. A start from that checkpoint, as the next release, executes the upgrade ops again, and
// writes checkpoints of its own release from then on.
func TestReleaseOfCheckpoints(t *testing.T) {
	const running, next = limits.Release, limits.ReleaseTrial
	random := seeded.Rand(t)
	l := tiny()
	l.ReplicasCount, l.ReleaseMax, l.Release = 3, next, running
	b, err := newBench(t, l, random, &file{}, storage.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	put := func(message []byte) {
		messages = append(messages, message)
		b.commit(message, true)
	}
	request := func() {
		message, _ := source.next()
		put(message)
	}
	upgrade := func(triggerOp uint64) {
		source.op++
		timestamp := prepare.Header(messages[len(messages)-1][:prepare.HeaderBytes]).Timestamp() + 1
		put(upgradeMessage(source.op, timestamp, prepare.Upgrade{Release: next, TriggerOp: triggerOp}))
	}
	first := l.CheckpointAfter(0)
	second := l.CheckpointAfter(first)
	trigger := l.CheckpointTrigger(second)
	for b.op <= first+1 { // an upgrade that begins behind c + 1 ends at the trigger of the next checkpoint
		request()
	}
	for b.op < trigger {
		if upgrade(trigger); b.op == l.CheckpointTrigger(first) {
			b.settle()
			if b.newest.Op != first || b.newest.Release != running {
				t.Fatalf("the checkpoint of op %d in the middle of the upgrade is of release %d", b.newest.Op, b.newest.Release)
			}
		}
	}
	b.settle()
	if b.newest.Op != second || b.newest.Release != next {
		t.Fatalf("the checkpoint of op %d, at the end of the upgrade, is of release %d", b.newest.Op, b.newest.Release)
	}
	b.apply.limits.Release = next
	b.reopen(b.newest)
	for _, message := range messages[second:] {
		b.commit(message, true)
	}
	for b.newest.Op == second {
		request()
	}
	if b.newest.Release != next {
		t.Errorf("the checkpoint behind the upgrade is of release %d, want %d", b.newest.Release, next)
	}
}

// Goal: each op is executed by the rules that its header names, whatever release the program runs.
func TestRulesOfOps(t *testing.T) {
	for _, release := range []uint32{limits.Release, limits.ReleaseTrial} {
		l := tiny()
		l.ReleaseMax, l.Release = limits.ReleaseTrial, release
		b, err := newBench(t, l, seeded.Rand(t), &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		for op, rules := range []uint32{limits.RulesFirst, limits.RulesTrial, limits.RulesFirst} {
			account := accounting.Account{ID: wire.U128{Lo: uint64(op) + 1}, Ledger: 1, Code: accounting.TrialCode}
			body := unsafe.Slice((*byte)(unsafe.Pointer(&account)), unsafe.Sizeof(account))
			f := prepare.Fields{Cluster: cluster, Op: uint64(op) + 1, Timestamp: uint64(op)*10 + 10, RequestsCount: 1, Rules: rules,
				Command: prepare.CommandPrepare, RequestLimit: 4096, Operation: wire.OperationCreateAccountsUnbatched,
				Client: wire.U128{Lo: 7}, Request: uint32(op) + 1, Release: 1, SizeBytes: uint32(prepare.HeaderBytes + len(body))}
			message := append(make([]byte, prepare.HeaderBytes), body...)
			prepare.Put(message, &f, prepare.Sum(body))
			reply := b.commit(message, true)
			isRefused := len(reply) > wire.HeaderBytes // an unbatched request has results for refused events only
			if want := rules == limits.RulesTrial; isRefused != want {
				t.Errorf("release %d, rules %d: refused %v, want %v", release, rules, isRefused, want)
			}
		}
	}
}
