//go:build !diskfaults

package replica

import (
	"ledger/internal/ports"
	"ledger/ring"
)

// diskFaults are for the tests of clusters of real processes: only a build with the tag diskfaults
// has any.
type diskFaults struct{}

func (s *Server) newDiskFaults() (*diskFaults, error) { return nil, nil }

// of leaves the disk as it is.
func (*diskFaults) of(disk ports.Disk, _ ring.Waker, _ bool) ports.Disk { return disk }

// clockSkew is how wrong the wall clock is: not at all.
type clockSkew struct{}

func (clockSkew) ns() int64 { return 0 }
