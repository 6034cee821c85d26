package consensus

// healing notices what a replica of several gets from others because its own disk has not got it:
// blocks of the grid and prepares of the log. While that lasts, it says once a minute how far it
// is.
type healing struct {
	sinceNs  uint64 // 0: nothing is to be healed
	lookNs   uint64 // of the next look
	toldNs   uint64 // of the last line
	isTold   bool
	blocks   uint64 // that had been repaired when it began
	bytes    uint64
	prepares uint64
	told     Healing
}

const (
	healingLookNs = 1_000_000_000  // between two looks
	healingTellNs = 60_000_000_000 // between two lines
)

// Healing is what repair has to do and has done, once a second while it lasts, and once when all is
// healed.
type Healing struct {
	BlocksWanted     uint64 // blocks of the grid that are missing now, as far as something needs them
	BlocksLost       uint64 // of these, blocks that no other replica brings
	SlotsFaulty      uint64 // slots of the log that are damaged
	PreparesMissing  uint64 // prepares of the log that have not come yet
	BlocksRepaired   uint64 // since it began
	BytesRepaired    uint64
	PreparesRepaired uint64
	DurationNs       uint64
	IsLine           bool // a minute has passed since the last line, or all is healed behind one
}

// IsDone tells whether nothing is left to be healed.
func (h *Healing) IsDone() bool {
	return h.BlocksWanted+h.SlotsFaulty+h.PreparesMissing == 0
}

// sees takes what is to be healed now, with totals since the start. It returns what there is to
// say, or nil if there is nothing to be healed, and was not when it looked last.
func (h *healing) sees(nowNs uint64, now Healing) *Healing {
	isDone := now.IsDone()
	if h.sinceNs == 0 {
		if isDone {
			return nil
		}
		h.sinceNs, h.toldNs, h.isTold = nowNs, nowNs, false
		h.blocks, h.bytes, h.prepares = now.BlocksRepaired, now.BytesRepaired, now.PreparesRepaired
	}
	h.told = now
	h.told.BlocksRepaired -= h.blocks
	h.told.BytesRepaired -= h.bytes
	h.told.PreparesRepaired -= h.prepares
	h.told.DurationNs = nowNs - h.sinceNs
	h.told.IsLine = isDone && h.isTold || !isDone && nowNs >= h.toldNs+healingTellNs
	if h.told.IsLine {
		h.toldNs, h.isTold = nowNs, true
	}
	if isDone {
		h.sinceNs = 0
	}
	return &h.told
}

// healingNow is what is to be healed, with totals since the start.
func (s *Stage) healingNow() (now Healing) {
	now.BlocksWanted, now.BlocksLost = uint64(s.blocks.waiting()), s.lost.lostNow()
	now.BlocksRepaired, now.BytesRepaired = s.blocks.fetched()
	now.PreparesRepaired = s.helped.takenSoFar()
	now.SlotsFaulty, now.PreparesMissing = s.log.damages()
	return now
}

// watchHealing looks once a second.
func (s *Stage) watchHealing() {
	now := s.timers.now()
	if now < s.healing.lookNs {
		return
	}
	s.healing.lookNs = now + healingLookNs
	if said := s.healing.sees(now, s.healingNow()); said != nil {
		s.send.healing(said)
	}
}
