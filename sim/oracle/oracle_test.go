package oracle

import (
	"strings"
	"testing"
)

// disk is a replica of a test.
type disk struct {
	view, logView uint32
	held          map[Checksum]bool
	incarnation   uint64
	isReplacement bool
}

func (d *disk) File() (uint64, bool) { return d.incarnation, d.isReplacement }

func (d *disk) Durable() (view, logView uint32) { return d.view, d.logView }
func (d *disk) Holds(p *Prepare) bool           { return d.held[p.Checksum] }

// cluster is three replicas in view 1, of which replica 1 is the primary.
type cluster struct {
	t         *testing.T
	oracle    *Oracle
	disks     []*disk
	committed []uint64
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t}
	var replicas []Replica
	for range 3 {
		d := &disk{view: 1, logView: 1, held: map[Checksum]bool{}}
		c.disks, replicas = append(c.disks, d), append(replicas, d)
	}
	c.oracle = New(replicas, Checksum{}, func(p *Prepare) { c.committed = append(c.committed, p.Op) })
	return c
}

// prepare makes a prepare whose name is its checksum, and that follows the one called parent.
func (c *cluster) prepare(name, parent byte, op uint64, view uint32) *Prepare {
	b := make([]byte, InnerBytes)
	b[0], b[prepareParentAt] = name, parent
	little.PutUint64(b[prepareOpAt:], op)
	little.PutUint32(b[prepareViewAt:], view)
	little.PutUint32(b[prepareSizeAt:], InnerBytes)
	little.PutUint32(b[prepareRulesAt:], 1)
	return c.oracle.Written(b)
}

func (c *cluster) holds(replica int, p *Prepare) {
	c.t.Helper()
	c.disks[replica].held[p.Checksum] = true
	if err := c.oracle.Held(replica, p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) acks(replica int, view uint32, p *Prepare) {
	c.t.Helper()
	if err := c.oracle.Acked(replica, view, p.Checksum); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) want(op uint64) {
	c.t.Helper()
	if c.oracle.Highest() != op || uint64(len(c.committed)) != op {
		c.t.Fatalf("op %d is committed, want %d", c.oracle.Highest(), op)
	}
}

// Goal: an op is committed with its quorum, whether the primary's write or the acknowledgement
// comes first. The primary's write alone, or one acknowledgement, is not enough.
func TestQuorum(t *testing.T) {
	c := newCluster(t)
	one, two := c.prepare(1, 0, 1, 1), c.prepare(2, 1, 2, 1)
	c.holds(1, one)
	c.want(0)
	c.acks(0, 1, one)
	c.want(1)
	c.acks(0, 1, two)
	c.want(1)
	c.holds(1, two)
	c.want(2)
}

// Goal: an op with a quorum is not committed before the one below it.
func TestGap(t *testing.T) {
	c := newCluster(t)
	one, two := c.prepare(1, 0, 1, 1), c.prepare(2, 1, 2, 1)
	c.acks(0, 1, two)
	c.acks(2, 1, two)
	c.want(0)
	c.acks(0, 1, one)
	c.acks(2, 1, one)
	c.want(2)
}

// Goal: acknowledgements of different views, or for different prepares, make no quorum. A primary
// that has left the view acknowledges nothing in it.
func TestNoQuorum(t *testing.T) {
	c := newCluster(t)
	one, other := c.prepare(1, 0, 1, 1), c.prepare(2, 0, 1, 4)
	c.acks(0, 1, one)
	c.acks(2, 4, one)
	c.acks(2, 1, other)
	c.want(0)
	c.disks[1].view = 2
	c.holds(1, one)
	c.want(0)
}

// Goal: two prepares that get a quorum for one op are an error.
func TestTwice(t *testing.T) {
	c := newCluster(t)
	one, other := c.prepare(1, 0, 1, 1), c.prepare(2, 0, 1, 4)
	c.acks(0, 1, one)
	c.acks(2, 1, one)
	c.want(1)
	c.acks(0, 4, other)
	if err := c.oracle.Acked(2, 4, other.Checksum); err == nil || !strings.Contains(err.Error(), "committed twice") {
		t.Fatalf("error %v, want one of an op that is committed twice", err)
	}
}

// Goal: the log of a view has what earlier views committed, and need not have what came later.
func TestHighestBefore(t *testing.T) {
	c := newCluster(t)
	one, two := c.prepare(1, 0, 1, 1), c.prepare(2, 1, 2, 4)
	for _, replica := range []int{0, 2} {
		c.acks(replica, 1, one)
	}
	for _, replica := range []int{0, 2} {
		c.acks(replica, 4, two)
	}
	for view, want := range map[uint32]uint64{1: 0, 2: 1, 4: 1, 5: 2} {
		if op := c.oracle.HighestBefore(view); op != want {
			t.Errorf("before view %d, op %d is committed, want %d", view, op, want)
		}
	}
}

// named makes a prepare whose log names these data files.
func (c *cluster) named(name, parent byte, op uint64, operation byte, members ...uint64) *Prepare {
	b := make([]byte, InnerBytes)
	b[0], b[prepareParentAt], b[prepareOperationAt] = name, parent, operation
	little.PutUint64(b[prepareOpAt:], op)
	little.PutUint32(b[prepareViewAt:], 1)
	little.PutUint32(b[prepareSizeAt:], InnerBytes)
	little.PutUint32(b[prepareRulesAt:], 1)
	for i, incarnation := range members {
		little.PutUint64(b[prepareMembersAt+8*i:], incarnation)
	}
	return c.oracle.Written(b)
}

// Goal: an acknowledgement of a data file counts only for prepares whose log names that file, as
// does the write of a primary. A lost file that comes back counts for nothing behind the op that
// names another one.
func TestNamedFiles(t *testing.T) {
	c := newCluster(t)
	for i, d := range c.disks {
		d.incarnation = uint64(i) + 1
	}
	one := c.named(1, 0, 1, operationMember, 1, 2, 9)
	two := c.named(2, 1, 2, 0, 1, 2, 9)
	c.acks(2, 1, one)
	c.holds(1, one)
	c.want(0)
	if c.oracle.Strangers != 1 {
		t.Errorf("%d acknowledgements are of strangers, want 1", c.oracle.Strangers)
	}
	c.disks[2].incarnation = 9
	c.acks(2, 1, two)
	c.want(0)
	c.acks(2, 1, one)
	c.want(1)
	c.disks[1].incarnation = 8
	c.holds(1, two)
	c.want(1)
	c.acks(0, 1, two)
	c.want(2)
}

// Goal: a file that was made in the place of a lost one may acknowledge only what is prepared
// behind its name.
func TestUnnamedReplacement(t *testing.T) {
	c := newCluster(t)
	c.disks[0].incarnation, c.disks[0].isReplacement = 9, true
	one := c.prepare(1, 0, 1, 1)
	if err := c.oracle.Acked(0, 1, one.Checksum); err == nil || !strings.Contains(err.Error(), "does not name it") {
		t.Fatalf("error %v, want one of a file that is not named", err)
	}
}

// Goal: only a member op changes the data files that count, and all of them are named or none.
func TestTablesOfMembers(t *testing.T) {
	for _, one := range []struct {
		operation byte
		members   []uint64
		want      string
	}{
		{0, []uint64{1, 2, 3}, "changes the data files"},
		{operationMember, []uint64{1, 2}, "of some replicas only"},
		{operationMember, []uint64{1, 2, 3, 4}, "of some replicas only"},
		{operationMember, []uint64{1, 2, 3}, ""},
	} {
		c := newCluster(t)
		for i, d := range c.disks {
			d.incarnation = uint64(i) + 1
		}
		p := c.named(1, 0, 1, one.operation, one.members...)
		err := c.oracle.Acked(0, 1, p.Checksum)
		if err == nil {
			c.disks[1].held[p.Checksum] = true
			err = c.oracle.Held(1, p)
		}
		if one.want == "" && err != nil || one.want != "" && (err == nil || !strings.Contains(err.Error(), one.want)) {
			t.Errorf("operation %d, members %v: error %v, want %q", one.operation, one.members, err, one.want)
		}
	}
}

// Goal: the log says which release executes an op. Among the upgrade ops there is nothing else,
// each op has the rules of its release, and no release goes back.
func TestReleases(t *testing.T) {
	request := func(op uint64, rules uint32) *Prepare { return &Prepare{Op: op, Rules: rules} }
	upgrade := func(op uint64, to uint32, trigger uint64) *Prepare {
		return &Prepare{Op: op, Rules: 1, UpgradeTo: to, Trigger: trigger}
	}
	for _, one := range []struct {
		name string
		log  []*Prepare
		want string // of the last one
	}{
		{"an upgrade", []*Prepare{request(1, 1), upgrade(2, 2, 3), upgrade(3, 2, 3), request(4, 0xffff)}, ""},
		{"a request between", []*Prepare{upgrade(1, 2, 3), request(2, 1)}, "lies among the upgrade ops"},
		{"another trigger", []*Prepare{upgrade(1, 2, 3), upgrade(2, 2, 4)}, "lies among the upgrade ops"},
		{"the older rules behind it", []*Prepare{upgrade(1, 2, 1), request(2, 1)}, "was prepared by rules 1"},
		{"the newer rules in front of it", []*Prepare{request(1, 0xffff)}, "was prepared by rules 65535"},
		{"back", []*Prepare{upgrade(1, 2, 1), upgrade(2, 1, 2)}, "from release 2 to 1"},
		{"a trigger in the past", []*Prepare{upgrade(2, 2, 1)}, "ends at op 1"},
	} {
		r := releases{now: 1}
		for i, p := range one.log {
			err := r.commits(p)
			isLast := i == len(one.log)-1
			if isWrong := isLast && one.want != ""; isWrong != (err != nil) || isWrong && !strings.Contains(err.Error(), one.want) {
				t.Errorf("%s, op %d: error %v, want %q", one.name, p.Op, err, one.want)
			}
		}
		if one.want == "" && (r.of[1] != 1 || r.of[2] != 0 || r.of[3] != 0 || r.of[4] != 2) {
			t.Errorf("%s: the ops are of releases %v", one.name, r.of)
		}
	}
}
