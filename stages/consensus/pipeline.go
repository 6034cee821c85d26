package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
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
}

// inPipeline is one op.
type inPipeline struct {
	op        uint64
	checksum  wire.Checksum
	isWritten bool // by this replica
}

func newPipeline(l *limits.Limits) pipeline {
	return pipeline{entries: make([]inPipeline, l.PipelineOpsMax)}
}

func (p *pipeline) at(i int) *inPipeline { return &p.entries[(p.first+i)%len(p.entries)] }

// mayPush tells whether another prepare may start.
func (p *pipeline) mayPush() bool { return p.length == 0 }

// push takes in the next op.
func (p *pipeline) push(op uint64, checksum wire.Checksum) {
	assert.Below(p.length, len(p.entries), "ops without a quorum")
	assert.That(p.length == 0 || p.at(p.length-1).op+1 == op, "ops enter the pipeline in order")
	*p.at(p.length) = inPipeline{op: op, checksum: checksum}
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
	op = p.at(0).op
	p.first = (p.first + 1) % len(p.entries)
	p.length--
	return op
}
