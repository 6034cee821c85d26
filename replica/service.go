package replica

import (
	"sync/atomic"

	"ledger/events"
	"ledger/stages/consensus"
)

// service writes the lines about what one of several replicas does for clients, and keeps why it
// serves none, for whoever asks. Only the thread of consensus calls changed.
//
//	view began       once for each view, when clients are served in it: its primary, why the view
//	                 before it was left, and the time without service of this replica
//	service stopped  for reasons that last, for a view change that lasts, and for a start that does
//	service again    in the same view
type service struct {
	log    *events.Log
	clock  func() uint64
	self   uint8
	reason atomic.Uint32 // a consensus.Away
	count  uint8         // replicas of the cluster

	stoppedNs  uint64 // since when clients are not served; 0: they are
	isTold     bool   // a line has said so
	hasView    bool   // a line has told viewLast
	viewLast   uint32
	hasStarted bool // clients were served since the start
	hasClient  bool // a line has told of a client of a standby
}

// viewChangeLongNs is the time after which a view change is reported although it has not ended.
const viewChangeLongNs = 2_000_000_000

// startLongNs is the time after which a start is reported that serves nobody. Consensus tells what
// changes, and now and then what does not, so that a replica that waits for others says it too.
const startLongNs = 10_000_000_000

func newService(log *events.Log, clock func() uint64, self, count uint8) *service {
	s := &service{log: log, clock: clock, self: self, count: count}
	s.reason.Store(uint32(consensus.AwayViewChange))
	return s
}

// changed takes what consensus tells.
func (s *service) changed(now consensus.Service) {
	s.reason.Store(uint32(now.Away))
	nowNs := max(s.clock(), 1)
	if now.HasClient && !s.hasClient {
		s.hasClient = true
		s.log.StandbyClient(events.StandbyClient{Replicas: s.count})
	}
	if !now.IsServing() {
		if s.stoppedNs == 0 {
			s.stoppedNs = nowNs
		}
		if now.LostNs > 0 && now.View > s.viewLast {
			s.stoppedNs = min(s.stoppedNs, now.LostNs)
		}
		isHopeless := now.Away == consensus.AwayStuck || now.Away == consensus.AwayBroken ||
			now.Away == consensus.AwayRelease || now.Away == consensus.AwayStranger
		isLasting := isHopeless || now.Away == consensus.AwayAlone || now.Away == consensus.AwayHead || now.Away == consensus.AwayClock ||
			nowNs >= s.stoppedNs+viewChangeLongNs
		if isLasting && !s.isTold && (s.hasStarted || isHopeless || nowNs >= s.stoppedNs+startLongNs) {
			s.isTold = true
			s.log.ServiceStopped(events.ServiceStopped{View: now.View, Reason: now.Away.String(), IsStandby: now.IsStandby})
		}
		return
	}
	awayNs := uint64(0)
	if s.stoppedNs > 0 && s.hasStarted {
		awayNs = nowNs - min(nowNs, s.stoppedNs)
	}
	switch {
	case !s.hasView || s.viewLast != now.View:
		e := events.ViewBegan{View: now.View, Primary: now.Primary, IsSelf: now.Primary == s.self, AwayNs: awayNs}
		if s.hasStarted {
			e.Cause = now.Cause.String()
		}
		s.log.ViewBegan(e)
	case s.isTold:
		s.log.ServiceAgain(events.ServiceAgain{View: now.View, AwayNs: awayNs, IsStandby: now.IsStandby})
	}
	s.hasView, s.viewLast, s.stoppedNs, s.isTold, s.hasStarted = true, now.View, 0, false, true
}

// why is the reason why clients are not served, or "".
func (s *service) why() string {
	if s == nil {
		return ""
	}
	return consensus.Away(s.reason.Load()).String()
}

// Away is the reason why this replica of several does not serve clients now, or "". Any thread may
// ask, after Run.
func (s *Server) Away() string { return s.service.why() }

// lostBlocks writes the lines about blocks that no replica brings.
func lostBlocks(log *events.Log, now *consensus.LostBlocks) {
	if now.Count == 0 {
		log.BlocksFound(events.BlocksFound{})
		return
	}
	log.BlocksLost(events.BlocksLost{Count: now.Count, Address: now.Ref.Address, Checksum: now.Ref.Checksum, Tree: now.Tree,
		WaitedNs: now.WaitedNs, IsEverywhere: now.IsEverywhere})
}

// syncNews writes the lines about state sync.
func syncNews(log *events.Log, now *consensus.SyncNews) {
	e := events.Sync{From: now.From, To: now.To, ForNs: now.ForNs, Blocks: now.Blocks, Bytes: now.Bytes, IsOpening: now.IsStillOpening,
		IsByLogStuck: now.IsStuckByLog}
	switch {
	case now.IsBegun:
		log.SyncBegan(events.SyncBegan(e))
	case now.IsDone:
		log.SyncDone(events.SyncDone(e))
	default:
		log.SyncGoesOn(events.SyncGoesOn(e))
	}
}
