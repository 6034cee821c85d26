package move

import (
	"fmt"

	"ledger/accounting"
)

// outcome is what a result means for a row whose creation was foreseen.
type outcome uint8

const (
	isWrong   outcome = iota
	isThere           // it was created, now or when the request was sent before a session was lost
	isChained         // it is there if another member of its chain is
)

// outcomeOf tells it from a status. A request that is sent again answers "exists" for what it has
// created. That breaks a chain, so its other members answer that it failed, although a chain is
// there as a whole or not at all.
func outcomeOf(status, exists uint32, isSameTime bool) outcome {
	switch {
	case status == uint32(accounting.TransferStatusCreated), status == exists && isSameTime:
		return isThere
	case status == linkedEventFailed:
		return isChained
	}
	return isWrong
}

// judge returns an error if a row of a batch is not there.
func judge[R any](f *flow[R], b *batch[R], resultsCount int, result func(i int) (outcome, string)) error {
	if resultsCount != len(b.rows) {
		return fmt.Errorf("the server sent %d results for %d %ss", resultsCount, len(b.rows), f.what)
	}
	for first := 0; first < len(b.rows); {
		end := first + 1 // of the chain
		for end < len(b.rows) && f.facts(&b.rows[end-1]).isLinked {
			end++
		}
		hasMember := false
		for i := first; i < end; i++ {
			outcome, _ := result(i)
			hasMember = hasMember || outcome == isThere
		}
		for i := first; i < end; i++ {
			if outcome, status := result(i); outcome == isWrong || outcome == isChained && !hasMember {
				return fmt.Errorf("%s: %s %s is answered %s, which was not foreseen, and other rows of its batch were imported: something "+
					"else writes to the server, its clock is behind, or the id was used by a request that failed; run the same command again "+
					"when that is mended", b.places[i], f.what, f.facts(&b.rows[i]).id, status)
			}
		}
		first = end
	}
	return nil
}
