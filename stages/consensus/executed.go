package consensus

import (
	"fmt"

	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// executed is the checksum of the prepare of op that was executed here, or zero if none is known to
// have been. What the log has below the op from which it was opened, nothing proves.
func (s *Stage) executed(op uint64) (sum wire.Checksum) {
	switch {
	case op == s.commits.last():
		return s.commits.lastChecksum()
	case op >= s.log.base() && op < s.commits.last():
		return s.log.checksumOrNone(op)
	}
	return sum
}

// mayAdopt tells whether the log may end at opHead with these headers. It may not if an op that was
// executed here would be missing, or be another prepare: then this replica or the one that tells of
// the log is broken, and this replica stops before it tells anybody anything else.
func (s *Stage) mayAdopt(view uint32, opHead uint64, headers []prepare.Header) bool {
	if last := s.commits.last(); opHead < last {
		s.fail(&storage.Fault{What: storage.FaultLog, Reason: fmt.Sprintf(
			"the log of view %d ends at op %d, and op %d was executed here: this replica or the primary is broken", view, opHead, last)})
		return false
	}
	for _, h := range headers {
		if before := s.executed(h.Op()); before != (wire.Checksum{}) && before != h.Checksum() {
			s.fail(&storage.Fault{What: storage.FaultLog, Reason: fmt.Sprintf(
				"the log of view %d has another prepare of op %d than was executed here: this replica or the primary is broken", view, h.Op())})
			return false
		}
	}
	return true
}
