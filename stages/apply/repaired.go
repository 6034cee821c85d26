package apply

import (
	"slices"

	"ledger/stages"
	"ledger/storage"
)

// justRepaired are the blocks that were repaired last, in a circle. A read that was under way
// meanwhile may fail and be told behind the repair. It is made once more, before others are asked
// for a block that they may have lost since then.
//
// That is an attempt, which bounds nothing: a read may be told behind more repairs than these, and
// of two that are told in different steps the second asks others.
type justRepaired struct {
	refs [repairedMax]storage.Ref
	at   int
}

const repairedMax = 2 * stages.BlocksRepairedMax

func (r *justRepaired) put(ref storage.Ref) {
	r.refs[r.at] = ref
	r.at = (r.at + 1) % len(r.refs)
}

// take tells whether a block was just repaired, and forgets that: behind the next read that fails,
// it is damaged anew.
func (r *justRepaired) take(ref storage.Ref) bool {
	i := slices.Index(r.refs[:], ref)
	if i < 0 {
		return false
	}
	r.refs[i] = storage.Ref{}
	return true
}

// want puts a block into the table for which somebody waits, unless it was just repaired.
func (s *Stage) want(ref storage.Ref) {
	if s.wants.repaired.take(ref) {
		s.repaired(ref)
		s.more, s.walk.waits = true, false // whoever waits goes on in the next step
		s.late.more = true
		return
	}
	s.wants.add(ref, false)
}

// wantScrubbed wants a block in which the scrubber has found damage. It is dropped when there is no
// room, or when the block was just repaired; the scrubber finds it again.
func (s *Stage) wantScrubbed(ref storage.Ref) {
	if s.several && s.isOpen && !s.closing && s.forest.IsInUse(ref.Address) && !s.wants.repaired.take(ref) {
		s.wants.add(ref, true)
	}
}
