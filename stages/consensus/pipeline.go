package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/vsr"
	"ledger/wire"
)

// pipeline is the primary's ops without a quorum, in op order. In a cluster of one, the own write
// is the quorum.
//
// A single replica has one prepare in it at a time. So a crash leaves at most one torn write, at
// the end of the log, which recovery can tell from damage.
type pipeline struct {
	entries []inPipeline // ring
	first   int
	length  int

	isCluster bool // of several replicas
}

// inPipeline is one op.
type inPipeline struct {
	op        uint64
	checksum  wire.Checksum
	isWritten bool // by this replica
	isSmall   bool // its requests are small
	tally     vsr.Tally
}

func newPipeline(l *limits.Limits) pipeline {
	return pipeline{entries: make([]inPipeline, l.PipelineOpsMax), isCluster: l.ReplicasCount > 1}
}

func (p *pipeline) at(i int) *inPipeline { return &p.entries[(p.first+i)%len(p.entries)] }

// smallOpsMax is the largest number of prepares of small requests that have no quorum, in a
// cluster. Requests gather behind them.
const smallOpsMax = 2

// mayPush tells whether another prepare may start.
func (p *pipeline) mayPush() bool { return p.length == 0 || p.isCluster && p.length < len(p.entries) }

// mayPushSmall tells whether a prepare of small requests may start.
func (p *pipeline) mayPushSmall() bool {
	small := 0
	for i := range p.length {
		if p.at(i).isSmall {
			small++
		}
	}
	return small < smallOpsMax
}

// oldest is the first op without a quorum. 0: there is none.
func (p *pipeline) oldest() uint64 {
	if p.length == 0 {
		return 0
	}
	return p.at(0).op
}

// count is the number of ops without a quorum.
func (p *pipeline) count() int { return p.length }

// acked: a replica has acknowledged a prepare. It tells whether that is new, and counts.
func (p *pipeline) acked(replica int, incarnation, op uint64, checksum wire.Checksum) bool {
	for i := range p.length {
		if e := p.at(i); e.op == op {
			return e.tally.Add(replica, incarnation, op, checksum)
		}
	}
	return false
}

// missing are the replicas that have not acknowledged the first op.
func (p *pipeline) missing(replicas uint16) (op uint64, bits uint16) {
	e := p.at(0)
	for i := range limits.ReplicasMax {
		if replicas>>i&1 != 0 && !e.tally.Has(i) {
			bits |= 1 << i
		}
	}
	return e.op, bits
}

// popCommitted removes the first op if a quorum has acknowledged it. 0: none has, or there is no
// op.
func (p *pipeline) popCommitted(q *vsr.Quorums) (op uint64) {
	if p.length == 0 || !p.at(0).tally.IsCommitted(q) {
		return 0
	}
	return p.drop()
}

// clear drops all ops: the replica is primary no more.
func (p *pipeline) clear() { p.first, p.length = 0, 0 }

func (p *pipeline) drop() (op uint64) {
	op = p.at(0).op
	p.first = (p.first + 1) % len(p.entries)
	p.length--
	return op
}

// push takes in the next op. members is the table of its header.
func (p *pipeline) push(op uint64, checksum wire.Checksum, members prepare.Members, isSmall bool) {
	assert.Below(p.length, len(p.entries), "ops without a quorum")
	assert.That(p.length == 0 || p.at(p.length-1).op+1 == op, "ops enter the pipeline in order")
	*p.at(p.length) = inPipeline{op: op, checksum: checksum, isSmall: isSmall, tally: vsr.StartTally(op, checksum, &members)}
	p.length++
}

// written: the own write of a prepare has ended.
func (p *pipeline) written(op uint64, checksum wire.Checksum) {
	for i := range p.length {
		if e := p.at(i); e.op == op {
			assert.That(e.checksum == checksum, "the prepare in the pipeline is the one in the log")
			assert.That(!e.isWritten, "a prepare becomes durable once")
			e.isWritten = true
			return
		}
	}
	assert.That(false, "a prepare of this primary is in the pipeline until it has a quorum")
}

// pop removes the first op if it has a quorum. 0: it has none, or there is no op.
func (p *pipeline) pop() (op uint64) {
	if p.length == 0 || !p.at(0).isWritten {
		return 0
	}
	return p.drop()
}
