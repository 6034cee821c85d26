package sim

import (
	"math/rand/v2"
	"slices"

	"ledger/limits"
	"ledger/sim/model"
	"ledger/sim/workload"
	"ledger/wire"
)

// replacement is the loss of a replica's data file, and what the operator does about it: what
// ledger recover does, in the same order and by the same requests.
//
//	lossWaits --op--> lossFound --time--> lossTold: a client has the new file named, and
//	    ^                                    |      8 further ops committed
//	    |                                    v      the file is made, in view + 2
//	    '---- even with the others -----  lossMade <--time--> the lost file is there by mistake
//
// Everything is drawn from a seed of its own, so that the runs of seeds without a loss stay what
// they are.
type replacement struct {
	several *several
	random  *rand.Rand
	left    int // files that are still to be lost
	lossOp  uint64
	tryNs   uint64 // the next try: a file may not be lost at any time

	phase       lossPhase
	m           *Machine // whose file is lost, and whose new one is not even with the others yet; nil: none
	nextStepNs  uint64
	operator    *client
	told        told
	incarnation uint64

	spareOf *Machine  // the machine of a file that is not in its place; nil: there is none
	spare   *dataFile // the lost file, or the new one while the lost one is there by mistake
	isOld   bool      // the lost one is there
	oldLeft int       // how often it will still come
	doneSum int
	whole   [limits.ReplicasMax]uint64 // by replica: the newest checkpoint of a file of before that was whole
}

type lossPhase uint8

const (
	lossWaits lossPhase = iota // for the op, or for nothing
	lossFound                  // nobody has noticed
	lossTold                   // the cluster is being told
	lossMade                   // the new file is there, or the lost one by mistake
)

// told is what the cluster was told, as the source of the operator's requests.
type told struct {
	replacement *replacement
	client      model.Number // whose session it is
	isNamed     bool
	noops       int
	view        uint32
}

var _ workload.Source = (*told)(nil)

// lossStream draws the losses of a seed. The seeds of the lists of regressions have none with it.
const lossStream = 0x1225

// plan draws the losses of a run.
func (r *replacement) plan() {
	w := r.several.cluster.world
	r.random = rand.New(rand.NewPCG(w.options.Seed, lossStream))
	hasLoss := r.random.IntN(6) == 0
	if len(r.several.cluster.replicas()) < 3 || !w.options.Cuts.has(hasLoss, withoutLosses) {
		return
	}
	r.left = 1 + r.random.IntN(3)/2
	r.planLoss()
}

func (r *replacement) planLoss() {
	op := r.several.oracle.Highest()
	r.lossOp = op + 1 + r.random.Uint64N(max(1, (r.several.goal-min(r.several.goal, op))/2))
}

// isOpen tells whether a data file is missing: a replica has none, or the lost one is in the place
// of the one that counts.
func (r *replacement) isOpen() bool { return r.m != nil || r.isOld }

// leaving is the machine that has the lost file, which will be taken away again: damage that counts
// on a copy there would be damage on all replicas in the end. -1: there is none.
func (r *replacement) leaving() int {
	if r.isOld {
		return r.spareOf.index
	}
	return -1
}

// isDone tells whether a lost file was replaced.
func (r *replacement) isDone() bool { return r.doneSum > 0 || r.phase == lossMade }

// hadWhole is the newest checkpoint that was whole in a file of before.
func (r *replacement) hadWhole(m *Machine) uint64 { return r.whole[m.index] }

// nextNs is when step has something to do.
func (r *replacement) nextNs() uint64 {
	switch {
	case r.isOld, r.phase == lossFound:
		return r.nextStepNs
	}
	return ^uint64(0)
}

// step goes on.
func (r *replacement) step() {
	s := r.several
	now := s.cluster.world.events.nowNs
	switch {
	case r.isOld && now >= r.nextStepNs:
		r.endOld()
	case r.phase == lossWaits && r.left > 0 && !s.isCalm && !r.isOld && s.oracle.Highest() >= r.lossOp && now >= r.tryNs:
		r.tryNs = now + 20*nsPerMs
		if m := s.cluster.replicas()[r.random.IntN(len(s.cluster.replicas()))]; r.mayLose(m) {
			r.lose(m)
		}
	case r.phase == lossFound && now >= r.nextStepNs:
		r.tell()
	case r.phase == lossTold && r.told.noops == pipelineOps:
		r.make()
	case r.phase == lossMade && !r.isOld && r.isEven():
		r.m.say("its new data file has what the others have")
		r.phase, r.m = lossWaits, nil
		r.doneSum++
		r.left--
		r.planLoss()
	}
}

// pipelineOps is how many ops recover has committed behind the one that names the new file.
var pipelineOps = int(limits.Production().PipelineOpsMax)

// isEven tells whether the new file is as good as that of any other replica.
func (r *replacement) isEven() bool {
	m, s := r.m, r.several
	return m.replica != nil && m.witness.logView > 0 && m.witness.syncMax == 0 &&
		m.replica.Consensus.Commit()+uint64(s.cluster.limits.PipelineOpsMax) >= s.oracle.Highest() &&
		s.blocks.Missing(m.index, m.witness.checkpointOp) == nil
}

// lose takes the data file of a machine away.
func (r *replacement) lose(m *Machine) {
	m.isLost = true // before it goes down: the file of an earlier loss must not take this one's place
	r.several.goDown(m, true, 0)
	m.say("its data file is lost")
	r.several.marks.add(MarkLost)
	r.phase, r.m = lossFound, m
	r.nextStepNs = m.events.nowNs + r.random.Uint64N([3]uint64{100, 2_000, 10_000}[r.random.IntN(3)]*nsPerMs)
	r.spareOf, r.spare = m, m.change(m.newFile())
	r.oldLeft = r.random.IntN(3)
}

// tell starts the command.
func (r *replacement) tell() {
	c := r.several.cluster
	r.phase = lossTold
	r.told = told{replacement: r}
	c.addClients(1, &r.told, 0)
	r.operator = c.clients[len(c.clients)-1]
	r.rename()
	r.m.say("recover: the cluster is told of the data file %x", r.incarnation)
}

// rename draws the number of another new file.
func (r *replacement) rename() { r.incarnation = r.random.Uint64() | 1 }

// Next implements workload.Source. A new session asks again from the beginning on: what the one
// before has been told about is not known.
func (t *told) Next(uint64) workload.Request {
	r := t.replacement
	if id := r.operator.protocol.ID(); id != t.client {
		if !t.client.IsZero() {
			r.several.marks.add(MarkReplacedTold)
		}
		if t.client, t.isNamed, t.noops = id, false, 0; r.random.IntN(2) == 0 {
			r.rename()
		}
	}
	if t.isNamed {
		return workload.Request{Operation: model.Noop, Body: []byte{}}
	}
	body := make([]byte, wire.MemberBodyBytes)
	wire.PutMember(body, &wire.Member{Incarnation: r.incarnation, Replica: uint8(r.m.index),
		ReplicasCount: uint8(len(r.several.cluster.replicas()))})
	return workload.Request{Operation: model.Member, Body: body}
}

// Observe implements workload.Source.
func (t *told) Observe(request workload.Request, _ uint64, _ []byte) {
	if request.Operation == model.Member {
		t.isNamed = true
		return
	}
	if t.noops++; t.noops == pipelineOps {
		t.replacement.operator.protocol.Stop()
	}
}

// replied: a reply to a client has this view.
func (r *replacement) replied(c *client, view uint32) {
	if c == r.operator {
		r.told.view = max(r.told.view, view)
	}
}

// make makes the new file. If the machine goes down meanwhile, there is none, and the command is
// run again.
func (r *replacement) make() {
	m, s := r.m, r.several
	r.endOperator()
	crashSectors := -1
	if !s.isCalm && r.random.IntN(8) == 0 {
		crashSectors = r.random.IntN(64)
	}
	m.change(m.newFile())
	if !m.formatAs(crashSectors, r.incarnation, r.told.view+2) {
		m.say("goes down while its new data file is made")
		m.change(m.newFile())
		s.marks.add(MarkReplacedTold)
		r.phase, r.nextStepNs = lossFound, m.events.nowNs
		return
	}
	m.isLost = false
	m.witness.rescan()
	m.say("has the new data file %x, in view %d", r.incarnation, r.told.view+2)
	r.phase = lossMade
	m.downNs = m.events.nowNs + r.random.Uint64N(1_000*nsPerMs)
	if r.random.IntN(3) == 0 && r.oldLeft > 0 {
		r.beginOld()
	}
}

func (r *replacement) endOperator() {
	c := r.several.cluster
	r.operator.links((*link).hangUp)
	c.clients = slices.DeleteFunc(c.clients, func(one *client) bool { return one == r.operator })
	r.operator = nil
}

// wentDown: the lost file may take the place of the new one, which is whole: somebody starts it by
// mistake, or a machine that was thought dead comes back.
func (r *replacement) wentDown(m *Machine) {
	isOther := r.spareOf != m || r.m != nil && r.m != m // another machine has no file
	if !isOther && !m.isLost && !r.isOld && r.oldLeft > 0 && !r.several.isCalm && m.witness.syncMax == 0 && r.random.IntN(3) == 0 {
		r.beginOld()
	}
}

func (r *replacement) beginOld() {
	m, s := r.spareOf, r.several
	r.oldLeft--
	s.marks.add(MarkOldFile)
	m.say("the lost data file is there again")
	r.isOld, r.spare = true, m.change(r.spare)
	r.nextStepNs = m.events.nowNs + r.random.Uint64N(10_000*nsPerMs)
	m.downNs = m.events.nowNs
}

// endOld puts the file in its place that counts.
func (r *replacement) endOld() {
	m := r.spareOf
	r.several.goDown(m, r.random.IntN(2) == 0, 0)
	r.isOld, r.spare = false, m.change(r.spare)
	m.say("the data file that counts is there again")
	m.downNs = m.events.nowNs + r.random.Uint64N(500*nsPerMs)
}

// finish brings what has begun to its end, in calm.
func (r *replacement) finish() {
	s := r.several
	if r.m == nil && !r.isOld {
		return
	}
	s.settle()
	if r.isOld {
		r.endOld()
	}
	for _, one := range s.cluster.clients {
		one.protocol.Hold(one != r.operator)
	}
	s.runUntil(func() bool {
		return (r.m == nil || r.phase == lossMade) && !r.isOld
	}, "a lost data file is replaced")
}
