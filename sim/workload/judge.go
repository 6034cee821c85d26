package workload

import (
	"fmt"
	"hash/maphash"
	"sort"

	"ledger/sim/model"
)

// Judge compares the exchanges of the clients with the log.
//
// It gets the log, request by request, and the exchanges when they end, in any order. It demands
// that the log is possible (model.Server), and that every reply is byte for byte the one of the
// log. Every request in the log must have been sent by a client, with the same body, and must be
// there only once. A request that began after the reply to another one must come later in the log.
type Judge struct {
	Server *model.Server

	made    map[model.Checksum][][]byte // replies by request checksum; registers can make several sessions
	bodies  map[model.Checksum]uint64   // hashes of the log's bodies, by request checksum
	asked   map[model.Checksum]uint64   // the same of the exchanges' requests
	seed    maphash.Seed
	waiting []*Exchange // with a reply for an op that the log has not reached
	ends    []ending
	opLast  uint64
}

// ending tells that a reply of op opMax had arrived by ns.
type ending struct{ ns, opMax uint64 }

// NewJudge returns a judge of a cluster with an empty log.
func NewJudge(config model.Config) *Judge {
	return &Judge{
		Server: model.NewServer(config),
		made:   map[model.Checksum][][]byte{},
		bodies: map[model.Checksum]uint64{},
		asked:  map[model.Checksum]uint64{},
		seed:   maphash.MakeSeed(), // hashes are only compared, so a run does not depend on it
	}
}

// Commit takes the next request of the log. An error is a fault of the log.
func (j *Judge) Commit(c *model.Committed) error {
	reply, err := j.Server.Commit(c)
	if err != nil {
		return err
	}
	if !c.IsInternal() {
		if len(j.made[c.RequestChecksum]) > 0 && c.Operation != model.Register {
			return fmt.Errorf("op %d: the request %x is in the log twice", c.Op, c.RequestChecksum)
		}
		j.made[c.RequestChecksum] = append(j.made[c.RequestChecksum], reply)
		j.bodies[c.RequestChecksum] = maphash.Bytes(j.seed, c.Body)
	}
	j.opLast = c.Op
	return nil
}

// Add takes an exchange that has ended. The exchanges of all clients come in the order of their
// ends.
func (j *Judge) Add(e *Exchange) error {
	j.ask(e)
	if e.Reply == nil {
		return nil // unknown: it may be in the log or not
	}
	op := opOf(e.Reply)
	last := ending{}
	if len(j.ends) > 0 {
		last = j.ends[len(j.ends)-1]
	}
	if e.LastNs < last.ns {
		return fmt.Errorf("an exchange that ended at %d is added after one that ended at %d", e.LastNs, last.ns)
	}
	// The endings before the beginning of e are a prefix. opMax of the last of them is the newest
	// op that e has to follow.
	before := sort.Search(len(j.ends), func(i int) bool { return j.ends[i].ns >= e.FirstNs })
	if before > 0 && j.ends[before-1].opMax >= op {
		return fmt.Errorf("client %x, request %d: it began at %d, after a reply of op %d, and was executed as op %d",
			e.Client, e.Number, e.FirstNs, j.ends[before-1].opMax, op)
	}
	j.ends = append(j.ends, ending{e.LastNs, max(last.opMax, op)})
	j.waiting = append(j.waiting, e)
	return j.settle(j.opLast)
}

func (j *Judge) ask(e *Exchange) {
	j.asked[model.Checksum(e.Request[:16])] = maphash.Bytes(j.seed, e.Request[256:])
}

// settle compares the replies of ops below limit. The op that is being committed may have more
// requests to come.
func (j *Judge) settle(limit uint64) error {
	left := j.waiting[:0]
	for _, e := range j.waiting {
		if opOf(e.Reply) >= limit {
			left = append(left, e)
			continue
		}
		if err := j.compare(e); err != nil {
			return err
		}
	}
	j.waiting = left
	return nil
}

func (j *Judge) compare(e *Exchange) error {
	var err error = fmt.Errorf("the request is not in the log")
	for _, reply := range j.made[model.Checksum(e.Request[:16])] {
		if err = model.SameReply(e.Reply, reply); err == nil {
			if e.Number != 0 {
				j.made[model.Checksum(e.Request[:16])] = [][]byte{nil} // compared; only its existence still matters
			}
			return nil
		}
	}
	return fmt.Errorf("client %x, request %d, operation %d, op %d: %w", e.Client, e.Number, e.What.Operation, opOf(e.Reply), err)
}

// Finish is called after the last Commit and Add, with the exchanges that are still in flight. By
// then, every reply must be in the log, and every request in the log must have been sent by a
// client.
func (j *Judge) Finish(inFlight []*Exchange) error {
	for _, e := range inFlight {
		j.ask(e)
	}
	if err := j.settle(^uint64(0)); err != nil {
		return err
	}
	for sum := range j.made {
		switch body, ok := j.asked[sum]; {
		case !ok:
			return fmt.Errorf("the request %x is in the log, and no client sent it", sum)
		case body != j.bodies[sum]:
			return fmt.Errorf("the request %x has another body in the log than the client sent", sum)
		}
	}
	return nil
}

func opOf(reply []byte) uint64 {
	return uint64(u32At(reply[208:])) | uint64(u32At(reply[212:]))<<32
}
