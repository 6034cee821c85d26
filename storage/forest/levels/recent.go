package levels

import (
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// framesSlack is the number of frames of a job beyond what the last flush of its tree leads to
// expect.
const framesSlack = 2

// share is what part of its reserved addresses the last flush of a tree used.
type share struct{ used, reserved uint64 }

// isKept tells whether the blocks of a flush stay in memory: those that queries read.
func isKept(tree storage.TreeID) bool {
	return tree == storage.TreeTransferLog || tree == storage.TreeExpired || keys.IsPosting(tree)
}

// lend reserves memory for the outputs of a flush that lie at first..end-1 of the plan. Addresses
// are reserved for the worst case, of which most flushes use a part. So the last flush tells how
// many frames are worth it. Outputs beyond them are not kept.
func (s *Levels) lend(tree storage.TreeID, first, end uint64) [][]byte {
	if !isKept(tree) {
		return nil
	}
	p := &s.plan
	count, before := end-first, &p.shares[tree]
	if before.reserved > 0 {
		count = min(count, before.used*count/before.reserved+framesSlack)
	}
	for i := first; i < first+count; i++ {
		if p.frames[i], p.lent[i] = s.pages.Lend(); p.frames[i] == nil {
			count = i - first
		}
	}
	return p.frames[first : first+count : first+count]
}

// keep makes the outputs that a job has built in lent memory readable, and takes the rest back.
// used is where the job's part of the plan begins. A partial block is released by the next flush,
// which carries its rows, and nobody reads it before.
func (s *Levels) keep(job *storage.Job, used uint64) {
	if job.Frames == nil {
		return
	}
	for i := range job.Frames {
		number := s.plan.lent[used+uint64(i)]
		if i < len(job.Tables) && !job.Tables[i].Partial {
			s.pages.Keep(number, job.Tables[i].Ref, uint32(job.Tables[i].PagesUsed))
		} else {
			s.pages.Return(number)
		}
	}
	s.plan.shares[job.Tree] = share{uint64(len(job.Tables)), uint64(len(job.Addresses))}
}
