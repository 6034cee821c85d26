package sim

import (
	"ledger/limits"
	"ledger/prepare"
	"ledger/sim/model"
	"ledger/sim/workload"
	"ledger/wire"
)

// Judge knows what a cluster has committed: the model has executed it. It checks that everything
// that leaves the cluster agrees with it: every reply on every connection, every finished exchange,
// and every checkpoint that is written once more or by another machine.
type Judge struct {
	fail    func(format string, arguments ...any)
	cluster wire.U128
	several bool // the cluster has several replicas

	clients *workload.Judge
	replies map[model.Checksum][][]byte // as the model made them, by request checksum
	forged  map[model.Checksum]string   // what is wrong with requests that must not be in the log

	history     [][]byte                 // committed prepares by op
	checkpoints map[uint64]wire.Checksum // ids by op, as they were first written

	requestsCount, checkpointsCount, pulsesCount, groupsCount int
}

func newJudge(l *limits.Limits, cluster wire.U128, modelLimits model.Limits, fail func(string, ...any)) *Judge {
	return &Judge{
		fail:    fail,
		cluster: cluster,
		clients: workload.NewJudge(model.Config{
			Cluster:         number(cluster),
			SessionsMax:     int(l.SessionsMax),
			MessageBytesMax: modelLimits.MessageBytesMax,
			RequestBytesMax: modelLimits.RequestBytesMax,
		}),
		replies:     map[model.Checksum][][]byte{},
		forged:      map[model.Checksum]string{},
		history:     make([][]byte, 1),
		checkpoints: map[uint64]wire.Checksum{},
	}
}

// committedOp is the highest op that the cluster has committed.
func (j *Judge) committedOp() uint64 { return uint64(len(j.history)) - 1 }

// checkpoint demands that the checkpoint of an op is always the same. Its id covers the roots, and
// the roots cover every block.
func (j *Judge) checkpoint(op uint64, id wire.Checksum) {
	first, known := j.checkpoints[op]
	if !known {
		j.checkpoints[op] = id
		j.checkpointsCount++
		return
	}
	if first != id {
		j.fail("the checkpoint of op %d is written again with other blocks: id %x, it was %x", op, id, first)
	}
}

// commit takes the next op, which the cluster will never lose. The model executes it.
func (j *Judge) commit(p []byte) {
	h := prepare.Header(p[:prepare.HeaderBytes])
	j.history = append(j.history, p)
	if h.Operation() == wire.OperationPulse {
		j.pulsesCount++
	}
	if h.IsGroup() {
		j.groupsCount++
	}
	for i := range int(h.RequestsCount()) {
		r := prepare.RequestAt(p, i)
		if h.IsGroup() && r.Operation.Class() == wire.ClassControl {
			j.fail("op %d has operation %d in a group: it has to be alone", h.Op(), r.Operation)
		}
		c := model.Committed{
			Op:              h.Op(),
			Timestamp:       r.Timestamp,
			View:            h.View(),
			Replica:         h.Replica(),
			Client:          number(r.Client),
			Request:         r.Request,
			RequestChecksum: model.Checksum(r.RequestChecksum),
			Release:         uint32(r.Release),
			Operation:       model.Operation(r.Operation),
			Body:            r.Body,
			RequestBytesMax: h.RequestLimit(),
			Rules:           h.Rules(),
			Session:         r.Session,
		}
		if what, ok := j.forged[c.RequestChecksum]; ok {
			j.fail("op %d has a request that had to be ignored: %s", h.Op(), what)
		}
		if err := j.clients.Commit(&c); err != nil {
			j.fail("the log is impossible: %v", err)
		}
		j.requestsCount++
		if _, request, reply, ok := j.clients.Server.Session(c.Client); ok && request == c.Request {
			j.replies[c.RequestChecksum] = append(j.replies[c.RequestChecksum], reply)
		}
	}
}

// isNoop tells whether a prepare is a no-op of the replica's own.
func isNoop(h prepare.Header) bool { return h.Operation() == wire.OperationNoop && h.Client().IsZero() }

func number(v wire.U128) model.Number { return model.Number{High: v.Hi, Low: v.Lo} }

// frame checks one whole message that a machine has sent to any connection, in a start with this
// view. One of several replicas had this log view or an earlier one when it sent the message.
func (j *Judge) frame(view uint32, frame []byte) {
	h, _, err := model.ParseFrame(frame)
	if err != nil {
		j.fail("the server sends a message that breaks the protocol: %v", err)
	}
	if h.View > view || h.View != view && !j.several {
		j.fail("a message of command %d has view %d, this start has %d", h.Command, h.View, view)
	}
	switch h.Command {
	case model.CommandReply:
		if h.Op > j.committedOp() {
			j.fail("a reply of op %d arrives while op %d is the last durable one", h.Op, j.committedOp())
		}
		made := j.replies[h.RequestChecksum]
		if len(made) == 0 {
			return // of an evicted client: workload.Judge compares it
		}
		for _, reply := range made {
			if err = model.SameReply(frame, reply); err == nil {
				return
			}
		}
		j.fail("the reply to client %x, request %d, operation %d, op %d: %v", h.Client, h.Request, h.Operation, h.Op, err)
	case model.CommandEviction:
		// A client may have lost a session and registered again. It may still be told that the old
		// session has ended, if it asked before the new one was known to be durable.
		server := j.clients.Server
		if _, _, _, ok := server.Session(h.Client); ok && !server.LostSession(h.Client) && h.Reason == model.EvictNoSession {
			j.fail("client %x is told that it has no session, and it has one", h.Client)
		}
	}
}

// exchange checks one finished request of a client.
func (j *Judge) exchange(e *workload.Exchange) {
	if err := j.clients.Add(e); err != nil {
		j.fail("%v", err)
	}
}
