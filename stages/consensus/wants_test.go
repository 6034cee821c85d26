package consensus

import (
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// wantsOp is an op of a random log: one request of a client, a group, or a pulse (client 0).
type wantsOp struct {
	client    uint64
	operation wire.Operation
	isGroup   bool
}

// lastReplies executes ops and returns, for each moment that counts, the op of each session's last
// reply: at every trigger, at every eviction, and at the end. An op without replies leaves its
// session as it is.
func lastReplies(l *limits.Limits, first uint64, ops []wantsOp, hasReplies func(op uint64) bool) (moments []map[uint64]uint64) {
	table := map[uint64]uint64{}
	note := func() {
		seen := map[uint64]uint64{}
		for client, op := range table {
			seen[client] = op
		}
		moments = append(moments, seen)
	}
	for i, o := range ops {
		op := first + uint64(i)
		_, known := table[o.client]
		switch {
		case o.client == 0:
		case o.operation == wire.OperationRegister && !known:
			if len(table) == int(l.SessionsMax) {
				note()
				oldest := uint64(0)
				for client := range table {
					if oldest == 0 || table[client] < table[oldest] {
						oldest = client
					}
				}
				delete(table, oldest)
			}
			table[o.client] = op
		case known && hasReplies(op):
			table[o.client] = op
		}
		if l.IsTrigger(op) {
			note()
		}
	}
	note()
	return moments
}

// Goal: leaving out the replies that are not wanted changes no session at a trigger, none that a
// register evicts, and none at the end. Only read-only requests of their own are left out, and only
// up to commit_max: a request behind it may be replaced by another one. A plain table of sessions
// decides what changes.
func TestWants(t *testing.T) {
	random := seeded.Rand(t)
	left := 0
	for range 300 {
		memory := arena.New()
		l := testLimits()
		l.SessionsMax = 1 + uint32(random.IntN(4))
		first := uint64(1)
		ops := make([]wantsOp, 1+random.IntN(25))
		headers := make([]byte, uint64(l.JournalSlotsCount)*limits.HeaderBytes)
		for i := range ops {
			o := &ops[i]
			o.client = uint64(random.IntN(7))
			switch random.IntN(6) {
			case 0:
				o.operation = wire.OperationRegister
			case 1:
				o.operation = wire.OperationCreateTransfers
			default:
				o.operation = wire.OperationLookupAccounts
				o.isGroup = random.IntN(6) == 0
			}
			f := prepare.Fields{Op: first + uint64(i), Operation: o.operation, Client: wire.U128{Lo: o.client}, RequestsCount: 1,
				SizeBytes: prepare.HeaderBytes, Command: prepare.CommandPrepare}
			if o.client == 0 {
				f.Operation = wire.OperationPulse
			}
			if o.isGroup {
				f.RequestsCount, f.Client, f.Operation = 2, wire.U128{}, 0
			}
			prepare.Put(headers[f.Op*limits.HeaderBytes:], &f, prepare.Sum(nil))
		}
		head := first + uint64(len(ops)) - 1
		g := newLog(&l, memory)
		g.open(&storage.Checkpoint{}, head, headers)
		commitMax := first - 1 + uint64(random.IntN(len(ops)+1))
		w := newWants(&l, &g, 0, commitMax)
		for op := first; op <= head+40; op++ {
			if op <= head && g.isSuperseded(&l, op, commitMax) == w.replies(op) {
				t.Fatalf("op %d of %+v, commit_max %d: a replica that lags and one that starts disagree", op, ops, commitMax)
			}
			if w.replies(op) {
				continue
			}
			left++
			o := ops[op-first]
			if op > commitMax || !o.operation.IsReadOnly() || o.isGroup || o.client == 0 {
				t.Fatalf("the replies of op %d, %+v, are not wanted; commit_max is %d", op, o, commitMax)
			}
		}
		// What is behind commit_max may be truncated at any place.
		for end := commitMax; end <= head; end++ {
			log := ops[:end-first+1]
			all := lastReplies(&l, first, log, func(uint64) bool { return true })
			some := lastReplies(&l, first, log, w.replies)
			if len(all) != len(some) {
				t.Fatalf("%d moments, want %d", len(some), len(all))
			}
			for i := range all {
				for client, op := range all[i] {
					if some[i][client] != op {
						t.Fatalf("ops %+v up to %d, commit_max %d, %d sessions: moment %d: the last reply of client %d is of op %d, want %d", log, end,
							commitMax, l.SessionsMax, i, client, some[i][client], op)
					}
				}
			}
		}
		memory.Close()
	}
	if left < 100 {
		t.Errorf("only %d requests were left out", left)
	}
}
