package oracle

import "fmt"

// replication is q_r by the number of replicas. Source: consensus, 2.2.
var replication = [7]int{0, 1, 2, 2, 2, 3, 3}

// Quorum is the number of acknowledgements with which an op is committed.
func Quorum(replicas int) int { return replication[replicas] }

// Replica is what the oracle knows of one replica's disk.
type Replica interface {
	// Durable are the numbers of the durable superblock.
	Durable() (view, logView uint32)
	// Holds tells whether a prepare is durable in the log.
	Holds(p *Prepare) bool
	// File is the number of the data file, and whether it was made in the place of a lost one.
	File() (incarnation uint64, isReplacement bool)
}

// Oracle of one cluster. Its methods are called in the order in which things happen.
type Oracle struct {
	replicas []Replica
	quorum   int
	commit   func(p *Prepare)

	prepares  map[Checksum]*Prepare
	acks      map[promise]uint8               // of backups, by replica
	promised  map[uint64]map[promise]*Prepare // by op: what was acknowledged at all
	committed []*Prepare                      // by op; the first is nil: the root
	views     []uint32                        // by op: the view in which it got its quorum
	Strangers int                             // acknowledgements of files that the log does not name
	root      Checksum
	releases  releases
}

// promise is what an acknowledgement promises to keep.
type promise struct {
	view     uint32
	checksum Checksum
}

// New makes the oracle of a cluster whose log begins behind the root with this checksum. commit is
// called for each committed prepare.
func New(replicas []Replica, root Checksum, commit func(p *Prepare)) *Oracle {
	return &Oracle{
		replicas: replicas, quorum: replication[len(replicas)], commit: commit, root: root,
		committed: make([]*Prepare, 1), views: make([]uint32, 1),
		releases: releases{now: 1},
		prepares: map[Checksum]*Prepare{}, acks: map[promise]uint8{}, promised: map[uint64]map[promise]*Prepare{},
	}
}

// Highest is the highest committed op.
func (o *Oracle) Highest() uint64 { return uint64(len(o.committed)) - 1 }

// HighestBefore is the highest op that was committed in an earlier view. The log of view has it.
func (o *Oracle) HighestBefore(view uint32) uint64 {
	op := o.Highest()
	for op > 0 && o.views[op] >= view {
		op--
	}
	return op
}

// Committed returns the prepare of a committed op, or nil.
func (o *Oracle) Committed(op uint64) *Prepare {
	if op >= uint64(len(o.committed)) {
		return nil
	}
	return o.committed[op]
}

// Prepare returns what was written with this checksum, or nil.
func (o *Oracle) Prepare(c Checksum) *Prepare { return o.prepares[c] }

// Written takes a prepare that is being written, and returns the one that is known.
func (o *Oracle) Written(b []byte) *Prepare {
	p := ParsePrepare(b)
	if known := o.prepares[p.Checksum]; known != nil {
		return known
	}
	p.Bytes = append([]byte(nil), p.Bytes...)
	o.prepares[p.Checksum] = p
	return p
}

// Acked: a backup's prepare_ok leaves it.
func (o *Oracle) Acked(replica int, view uint32, c Checksum) error {
	p := o.prepares[c]
	if p == nil {
		return fmt.Errorf("replica %d acknowledges a prepare that was never written, checksum %x", replica, c)
	}
	if replica >= len(o.replicas) {
		return fmt.Errorf("standby %d acknowledges op %d", replica, p.Op)
	}
	counts, err := o.counts(replica, p)
	if err != nil {
		return err
	}
	if !counts {
		o.Strangers++
		return nil
	}
	if replica == int(view)%len(o.replicas) {
		return nil // the primary's is its own write
	}
	key := promise{view, c}
	o.acks[key] |= 1 << replica
	o.promise(key, p)
	return o.settle(p.Op)
}

func (o *Oracle) promise(key promise, p *Prepare) {
	if o.promised[p.Op] == nil {
		o.promised[p.Op] = map[promise]*Prepare{}
	}
	o.promised[p.Op][key] = p
}

// Held: a prepare is durable on a replica from now on, or on a standby, which promises nothing.
func (o *Oracle) Held(replica int, p *Prepare) error {
	if replica >= len(o.replicas) {
		return nil
	}
	view, logView := o.replicas[replica].Durable()
	if view != logView || int(view)%len(o.replicas) != replica {
		return nil
	}
	if o.quorum > 1 && o.acks[promise{view, p.Checksum}] == 0 {
		return nil
	}
	return o.settle(p.Op)
}

// Changed: the superblock of a replica is another one from now on, so it may be the primary of a
// view whose log has acknowledged ops.
func (o *Oracle) Changed() error { return o.settle(o.Highest() + 1) }

// acknowledged counts the replicas that promise to keep p.
func (o *Oracle) acknowledged(key promise, p *Prepare) (count int) {
	primary := int(key.view) % len(o.replicas)
	for i, r := range o.replicas {
		if i != primary {
			count += int(o.acks[key] >> i & 1)
		} else if view, logView := r.Durable(); view == key.view && logView == key.view && r.Holds(p) {
			if counts, err := o.counts(i, p); counts && err == nil {
				count++
			}
		}
	}
	return count
}

// settle looks which ops from op on are committed now.
func (o *Oracle) settle(op uint64) error {
	if before := o.Committed(op); before != nil {
		for key, p := range o.promised[op] {
			if p != before && o.acknowledged(key, p) >= o.quorum && p.Parent == o.sumOf(op-1) {
				return fmt.Errorf("op %d is committed twice, with different contents: those prepared in views %d and %d; the second has its "+
					"quorum in view %d", op, before.View, p.View, key.view)
			}
		}
	}
	for {
		next := o.Highest() + 1
		var chosen *Prepare
		view := uint32(0)
		for key, p := range o.promised[next] { // at most one of them can be, so the order does not matter
			if p.Parent == o.sumOf(next-1) && o.acknowledged(key, p) >= o.quorum {
				if chosen != nil && chosen != p {
					return fmt.Errorf("op %d is committed twice, with different contents: those prepared in views %d and %d", next, chosen.View,
						p.View)
				}
				chosen, view = p, max(view, key.view)
			}
		}
		if chosen == nil {
			return nil
		}
		if err := o.names(chosen, o.committed[next-1]); err != nil {
			return err
		}
		if err := o.releases.commits(chosen); err != nil {
			return err
		}
		o.committed, o.views = append(o.committed, chosen), append(o.views, max(view, o.views[next-1]))
		o.commit(chosen)
		o.forget(next)
	}
}

// forgetOps is how long what was acknowledged for an op is kept after its commit.
const forgetOps = 1024

func (o *Oracle) forget(op uint64) {
	if op > forgetOps {
		for key := range o.promised[op-forgetOps] {
			delete(o.acks, key)
		}
		delete(o.promised, op-forgetOps)
	}
}

func (o *Oracle) sumOf(op uint64) Checksum {
	if op == 0 {
		return o.root
	}
	return o.committed[op].Checksum
}
