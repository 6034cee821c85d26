package compact

import "ledger/storage"

// findingsMax is the number of damaged blocks that are kept apart. Those beyond are reported, and
// are not counted as damaged now.
const findingsMax = 256

// findings are the blocks that are known to be damaged. A block is forgotten when it reads right,
// when it was written again, or when a whole pass has not come across it: then it is in use no
// more.
type findings struct {
	refs  [findingsMax]storage.Ref
	fresh [findingsMax]bool // found by the pass under way
	used  int
}

// open notes a damaged block.
func (f *findings) open(ref storage.Ref) {
	for i := range f.refs[:f.used] {
		if f.refs[i] == ref {
			f.fresh[i] = true
			return
		}
	}
	if f.used < findingsMax {
		f.refs[f.used], f.fresh[f.used] = ref, true
		f.used++
	}
}

// close forgets a block, and tells whether it was there.
func (f *findings) close(ref storage.Ref) bool {
	for i := range f.refs[:f.used] {
		if f.refs[i] == ref {
			f.drop(i)
			return true
		}
	}
	return false
}

func (f *findings) drop(i int) {
	f.used--
	f.refs[i], f.fresh[i] = f.refs[f.used], f.fresh[f.used]
}

// passEnds forgets the blocks that the pass has not found damaged.
func (f *findings) passEnds() {
	for i := f.used - 1; i >= 0; i-- {
		if !f.fresh[i] {
			f.drop(i)
			continue
		}
		f.fresh[i] = false
	}
}

// count of the blocks that are damaged now.
func (f *findings) count() uint64 { return uint64(f.used) }
