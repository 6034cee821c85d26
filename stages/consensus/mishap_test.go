package consensus

import (
	"fmt"
	"testing"

	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// The answers that the other stages give to consensus.
const (
	answerAppend = iota
	answerRead
	answerSuperblock
	answerCommit
	answerCheckpoint
	answerSend
	answerFree
	answersCount
)

var answerNames = [answersCount]string{"append", "read", "superblock", "commit", "checkpoint", "send", "free"}

// mishap is what goes wrong in one run: the nth answer of a kind is late, or a fault comes in its
// place. nth 0: nothing.
type mishap struct {
	answer, nth int
	isFault     bool
}

func (m mishap) String() string {
	if m.isFault {
		return fmt.Sprintf("%s %d is a fault", answerNames[m.answer], m.nth)
	}
	return fmt.Sprintf("%s %d is late", answerNames[m.answer], m.nth)
}

// lateTurns is how long a late answer is held back.
const lateTurns = 60

// mishapClient registers and sends requests, one after the other.
type mishapClient struct {
	fields wire.RequestFields
	asked  bool
}

const mishapClients, mishapRequests = 3, 14

type mishapRun struct {
	*world
	mishap   mishap
	counts   [answersCount]int
	clients  [mishapClients]mishapClient
	answered map[wire.Checksum]uint64 // the op of each reply that a client got, by the request's checksum
	happened bool
}

func newMishapRun(t *testing.T, m mishap) *mishapRun {
	r := &mishapRun{world: newWorld(t, testLimits()), mishap: m, answered: map[wire.Checksum]uint64{}}
	r.nowNs = 1 << 40
	r.onMessage = r.onReply
	for i := range r.clients {
		r.clients[i].fields = wire.RequestFields{Client: wire.U128{Lo: uint64(10 + i)}, Operation: wire.OperationRegister}
	}
	return r
}

func (c *mishapClient) done() bool { return c.fields.Number > mishapRequests }

func (c *mishapClient) frame() []byte {
	if c.fields.Operation == wire.OperationRegister {
		return frame(c.fields, make([]byte, 256))
	}
	return frame(c.fields, make([]byte, 16*c.fields.Number))
}

// onReply is a client that gets a message. Each request has one reply, however often it is asked
// for.
func (r *mishapRun) onReply(message []byte) {
	h := wire.HeaderOf(message[:256])
	if h.Command() != wire.CommandReply {
		r.t.Fatalf("%v: a client gets %v", r.mishap, h.Command())
	}
	if op, known := r.answered[h.ReplyRequestChecksum()]; known && op != h.ReplyOp() {
		r.t.Fatalf("%v: a request was executed as op %d and again as op %d", r.mishap, op, h.ReplyOp())
	}
	r.answered[h.ReplyRequestChecksum()] = h.ReplyOp()
	c := &r.clients[h.ReplyClient().Lo-10]
	if h.ReplyRequestNumber() != c.fields.Number {
		return
	}
	if c.fields.Operation == wire.OperationRegister {
		c.fields.Session, c.fields.Operation = h.ReplyCommit(), wire.OperationLookupAccountsUnbatched
	}
	c.fields.Number, c.fields.Parent, c.asked = c.fields.Number+1, h.ReplyContext(), false
}

// run lets the clients ask until all have their replies, or a fault comes.
func (r *mishapRun) run() {
	late := 0 // turns for which the answer of the mishap's kind is still held back
	for turns := 0; r.fault == nil; turns++ {
		if turns > 20_000 {
			r.t.Fatalf("%v: it never ends: %+v", r.mishap, r.clients)
		}
		busy := false
		for i := range r.clients {
			c := &r.clients[i]
			busy = busy || !c.done()
			if !c.asked && !c.done() && r.ready {
				c.asked = r.receive(c.frame())
			}
		}
		r.turn()
		waiting := [answersCount]bool{r.appending != nil, len(r.reads) > 0, r.superblockNext != nil, len(r.commits) > 0, r.sessions != nil,
			len(r.sends) > 0, len(r.frees) > 0}
		for answer, isWaiting := range waiting {
			if !isWaiting || r.fault != nil {
				continue
			}
			busy = true
			if late > 0 && answer == r.mishap.answer {
				if late--; late > 0 {
					continue
				}
			} else if r.counts[answer]++; answer == r.mishap.answer && r.counts[answer] == r.mishap.nth {
				r.happened = true
				if r.mishap.isFault {
					r.fail(answer)
					continue
				}
				late = lateTurns
				continue
			}
			r.finish(answer)
		}
		if !busy && len(r.journalEvents)+len(r.applyEvents)+len(r.netEvents) == 0 && r.ready {
			return
		}
	}
}

func (r *mishapRun) finish(answer int) {
	switch answer {
	case answerAppend:
		r.finishAppend()
	case answerRead:
		r.finishRead(0)
	case answerSuperblock:
		r.finishSuperblock()
	case answerCommit:
		r.finishCommit()
	case answerCheckpoint:
		r.finishCheckpoint()
	case answerSend:
		r.finishSend(0)
	case answerFree:
		r.finishFree(0)
	}
}

// fail gives a fault in place of an answer, between messages of clients that come in the same turn.
func (r *mishapRun) fail(answer int) {
	fault := &storage.Fault{What: storage.FaultDisk, Reason: "planned"}
	if answer == answerCommit || answer == answerCheckpoint {
		r.applyEvents = append(r.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyFault, Fault: fault})
	} else {
		r.journalEvents = append(r.journalEvents, stages.JournalToConsensus{Kind: stages.JournalFault, Fault: fault})
	}
	r.turn()
	if r.fault != fault {
		r.t.Fatalf("%v: the replica stops with %v", r.mishap, r.fault)
	}
	// Whatever was under way may end, and clients may ask: see checkStopped.
	for range 5 {
		free := r.slots.Pools[stages.SlotClient].FreeCount()
		asked := r.receive(frame(wire.RequestFields{Client: wire.U128{Lo: 99}, Operation: wire.OperationRegister}, make([]byte, 256)))
		r.finishAppend()
		r.finishCommit()
		r.finishSuperblock()
		r.turn()
		for r.finishFree(0) {
		}
		if r.slots.Pools[stages.SlotClient].FreeCount() < free {
			r.t.Fatalf("%v: the slot of a message does not come back (%v)", r.mishap, asked)
		}
		for r.finishSend(0) {
		}
	}
}

// Goal: each answer of journal, apply and net may be late, and those of journal and apply may be a
// fault. Late answers change no reply and leave nothing behind. A fault stops the replica with
// itself: nothing is written, executed or answered after it, and messages come back. The start
// that follows has every op that was answered, and clients get the replies that are missing by
// asking again, each request executed once.
func TestEveryMishap(t *testing.T) {
	scenario := func(m mishap) *mishapRun {
		r := newMishapRun(t, m)
		r.run()
		// Two restarts, the second of a replay that may have failed; each has something to read.
		for range 2 {
			failed := r.fault != nil
			if !failed {
				r.checkQuiet()
			}
			r.crash(false, false)
			for i := range r.clients {
				r.clients[i].asked = false
			}
			r.run()
			if failed && r.fault != nil {
				t.Fatalf("%v: it fails again: %v", m, r.fault)
			}
		}
		if r.fault != nil {
			r.crash(false, false)
			for i := range r.clients {
				r.clients[i].asked = false
			}
			r.run()
		}
		r.checkQuiet()
		for i := range r.clients {
			if !r.clients[i].done() {
				t.Fatalf("%v: client %d has no reply to request %d", m, i, r.clients[i].fields.Number)
			}
		}
		if len(r.answered) != mishapClients*(mishapRequests+1) {
			t.Fatalf("%v: %d requests are answered, want %d", m, len(r.answered), mishapClients*(mishapRequests+1))
		}
		return r
	}
	calm := scenario(mishap{})
	runs := 0
	for answer, count := range calm.counts {
		if count == 0 {
			t.Errorf("the scenario has no %s", answerNames[answer])
		}
		step := 1
		if testing.Short() {
			step = (count + 3) / 4
		}
		for nth := 1; nth <= count; nth += max(1, step) {
			for _, isFault := range []bool{false, true} {
				if isFault && answer >= answerSend {
					continue
				}
				runs++
				if m := (mishap{answer, nth, isFault}); !scenario(m).happened {
					t.Errorf("%v: it did not happen", m)
				}
			}
		}
	}
	t.Logf("answers %v, %d runs", calm.counts, runs)
}
