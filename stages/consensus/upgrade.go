package consensus

import (
	"fmt"

	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/vsr"
)

// upgrade is the way of one of several replicas from its release to the next one. Package vsr has
// the rules, and docs/design/cluster.md says why no op is executed by two releases with different
// results.
//
//	primary   all offer a newer release ----> upgrade ops, up to the trigger of a checkpoint
//	each      executes them, and nothing above; the checkpoint has the new release; its superblock
//	          is durable ----> the process starts anew, as the new release
//
// Whether an upgrade is under way is asked of the log's head, and never remembered. So a new
// primary goes on with it, and forgets it if the view change has dropped all of its ops.
type upgrade struct {
	target    uint32    // of a primary: the release that all offer, of which no op is prepared yet; 0: none
	last      vsr.LogOp // the op that entered the commit queue last; zero: that of the checkpoint
	stopOp    uint64    // this release executes nothing above
	news      UpgradeNews
	unoffered uint32 // a release that this program does not offer, of a checkpoint that this replica needs; 0: none
}

// UpgradeNews is what a line says of an upgrade that has begun.
type UpgradeNews struct {
	To            uint32
	Op, TriggerOp uint64 // of the first upgrade op and of the last one
}

// noStop is the stopOp of a replica that has executed no upgrade op.
const noStop = ^uint64(0)

func newUpgrade() upgrade { return upgrade{stopOp: noStop} }

// executes tells whether op is below the end of this release.
func (u *upgrade) executes(op uint64) bool { return op <= u.stopOp }

// before is the op behind which the next one enters the commit queue.
func (u *upgrade) before() *vsr.LogOp { return &u.last }

// pulled: an op enters the commit queue of a replica of the release running. It returns what is to
// be said if it is the first of an upgrade.
func (u *upgrade) pulled(o *vsr.LogOp, running uint32) (news *UpgradeNews) {
	u.last = *o
	if stopOp, ok := o.StopOp(running); ok && stopOp != u.stopOp {
		u.stopOp = stopOp
		u.news = UpgradeNews{To: o.UpgradeTo, Op: o.Op, TriggerOp: stopOp}
		return &u.news
	}
	return nil
}

// reopened: execution goes on from a checkpoint.
func (u *upgrade) reopened() { u.last, u.stopOp = vsr.LogOp{}, noStop }

// under is the release to which an upgrade is under way, as far as it was executed here. 0: none.
func (u *upgrade) under() uint32 {
	if u.stopOp == noStop {
		return u.target
	}
	return u.news.To
}

// to is the release whose upgrade the primary is to begin. 0: none.
func (u *upgrade) to() uint32 { return u.target }

// begins: all offer this release, or none that is newer: 0.
func (u *upgrade) begins(release uint32) { u.target = release }

// lacks: a checkpoint that this replica needs is of a release that the program does not offer.
func (u *upgrade) lacks(release uint32) { u.unoffered = release }

// lacking is that release. 0: there is none.
func (u *upgrade) lacking() uint32 { return u.unoffered }

// logOpOf is what the rules of upgrades ask about an op.
func logOpOf(h prepare.Header) vsr.LogOp {
	o := vsr.LogOp{Op: h.Op(), Rules: h.Rules()}
	if to, ok := prepare.UpgradeOf(h); ok {
		o.UpgradeTo, o.TriggerOp = to.Release, to.TriggerOp
	}
	return o
}

// headOp is the head of the log. Of the op from which the log was opened only the checksum may be
// known. It is one of a checkpoint, and requests of the checkpoint's release follow it.
func (s *Stage) headOp() vsr.LogOp {
	head := s.log.head()
	if !s.log.has(head) {
		return vsr.LogOp{Op: head, Rules: limits.RulesOf(s.limits.Release)}
	}
	return logOpOf(s.log.header(head))
}

// behindHead is what this primary may prepare.
func (s *Stage) behindHead() vsr.BehindHead {
	if !s.isCluster() {
		return vsr.BehindRequests
	}
	head := s.headOp()
	return head.Behind(s.limits.Release)
}

// isUpgrading tells whether this primary prepares upgrade ops, or waits for the next release, so
// that requests of clients wait.
func (s *Stage) isUpgrading() bool {
	return s.upgrade.to() != 0 || s.behindHead() != vsr.BehindRequests
}

// watchUpgrade looks, now and then, whether all replicas and standbys offer a newer release.
func (s *Stage) watchUpgrade() {
	if s.deadlines.upgrades(s.mayOrder()) && !s.isUpgrading() {
		s.upgrade.begins(s.upgradeTo())
	}
}

// upgradeTo is the release to which all replicas and standbys can pass. One that has told nothing
// for a while offers nothing.
func (s *Stage) upgradeTo() uint32 {
	var room [limits.MembersMax]vsr.Releases
	offered := room[:s.limits.IndexesCount()]
	for i := range offered {
		if offered[i] = (vsr.Releases{Min: s.limits.ReleaseMin, Max: s.limits.ReleaseMax}); i != s.self {
			offered[i] = s.peers.offered(i, s.timers.now())
		}
	}
	return vsr.UpgradeTo(s.limits.Release, offered)
}

// sequenceUpgrade prepares the next upgrade op, if one is to be. isDue: one is; isDone: it was
// prepared. Otherwise there is no slot.
func (s *Stage) sequenceUpgrade() (isDue, isDone bool) {
	if !s.isUpgrading() {
		return false, false
	}
	next := prepare.Upgrade{Release: s.upgrade.to(), TriggerOp: vsr.UpgradeTrigger(&s.limits, s.log.head()+1)}
	if head := s.headOp(); s.behindHead() == vsr.BehindUpgrade {
		next = prepare.Upgrade{Release: head.UpgradeTo, TriggerOp: head.TriggerOp}
	}
	slot := s.slots.take(stages.SlotPrepare)
	if slot == stages.SlotNone {
		return true, false
	}
	s.upgrade.begins(0)
	f := s.fields()
	next.Put(&f)
	f.Timestamp = s.log.timestampLast() + 1
	s.startPrepare(prepare.Put(s.slots.bytes(slot), &f, prepare.Sum(nil)), slot, stages.SlotNone)
	return true, true
}

// mayFollow tells whether a prepare that comes may lie behind the head, as far as the head is
// known.
func (s *Stage) mayFollow(header prepare.Header) bool {
	if head := s.log.head(); header.Op() == head+1 && s.log.has(head) {
		next, before := logOpOf(header), s.headOp()
		return next.MayFollow(&s.limits, &before)
	}
	return true
}

// pullsRelease tells whether this release may execute op, the next one, and notes it. The replica
// stops if no release may.
func (s *Stage) pullsRelease(header prepare.Header) bool {
	o := logOpOf(header)
	reason := ""
	switch {
	case !o.MayFollow(&s.limits, s.upgrade.before()):
		reason = fmt.Sprintf("op %d, which is committed, may not lie where it does: from the first upgrade op to the trigger of a checkpoint "+
			"there are only upgrade ops", o.Op)
	case !o.Executes(s.limits.Release):
		reason = fmt.Sprintf("op %d was prepared by rules %d, and release %d, which this replica runs, has rules %d: if it was formatted by "+
			"another release than the other replicas, format it by theirs; its data file is as it was", o.Op, o.Rules, s.limits.Release,
			limits.RulesOf(s.limits.Release))
	default:
		if news := s.upgrade.pulled(&o, s.limits.Release); news != nil {
			s.send.upgradeNews(news)
		}
		return true
	}
	s.fail(&storage.Fault{What: storage.FaultLog, Reason: reason})
	return false
}

// passesOn ends this release when a checkpoint is durable from which another one goes on.
func (s *Stage) passesOn() bool {
	checkpoint := &s.superblocks.now().Checkpoint
	if !s.isCluster() || checkpoint.Release == s.limits.Release {
		return false
	}
	s.fail(&storage.Fault{What: storage.FaultRelease, Release: checkpoint.Release,
		Reason: fmt.Sprintf("release %d goes on from the checkpoint of op %d, and this process runs release %d", checkpoint.Release,
			checkpoint.Op, s.limits.Release)})
	return true
}

// mayRun tells whether this program can go on from a checkpoint of another replica. If it cannot,
// nothing is written, and the replica says what it needs.
func (s *Stage) mayRun(checkpoint *storage.Checkpoint) bool {
	if s.limits.Offers(checkpoint.Release) {
		s.upgrade.lacks(0)
		return true
	}
	s.measures.ignored()
	s.upgrade.lacks(checkpoint.Release)
	return false
}
