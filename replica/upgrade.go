package replica

import (
	"fmt"

	"ledger/events"
	"ledger/storage"
)

// NextRelease ends a server: its data file goes on with another release than the one that it runs.
// All that was acknowledged is durable, and a start goes on as that release.
type NextRelease struct {
	From, To uint32
	Reason   string
}

func (e *NextRelease) Error() string {
	return fmt.Sprintf("release %d has ended, release %d goes on from the data file: start it with a program that offers that release (%s)",
		e.From, e.To, e.Reason)
}

// endedBy is the error with which a fault ends a running server.
func (s *Server) endedBy(fault *storage.Fault) error {
	if fault.What == storage.FaultRelease {
		return &NextRelease{From: s.opened.Limits.Release, To: fault.Release, Reason: fault.Reason}
	}
	return ofReplicas(faultError(fault), s.Replicas())
}

// Releases are the release that runs and those that are offered.
func (s *Server) Releases() events.Releases {
	l := &s.opened.Limits
	return events.Releases{Running: l.Release, Min: l.ReleaseMin, Max: l.ReleaseMax}
}
