package replica

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
)

// FaultError is damage, or a failing disk, that has stopped the replica; or something that it needs
// from the other replicas of its cluster.
type FaultError struct {
	Fault    storage.Fault
	Replicas uint32 // of the cluster; 0 is 1
}

func (e *FaultError) Error() string {
	switch {
	case e.Replicas <= 1:
		return "stopped, because a single replica has no other copy to go on with: " + e.Fault.Error()
	case e.NeedsOthers():
		return "stopped, because the other replicas have what this one needs, and this version does not fetch it yet; they go on without " +
			"it: " + e.Fault.Error()
	}
	return "stopped: " + e.Fault.Error()
}

// NeedsOthers tells whether the others have what is missing here: blocks of the grid, or a newer
// checkpoint.
func (e *FaultError) NeedsOthers() bool {
	return e.Replicas > 1 && (e.Fault.What == storage.FaultBlock || e.Fault.What == storage.FaultBehind)
}

// ofReplicas tells the error of a fault how many replicas the cluster has.
func ofReplicas(err error, count uint32) error {
	var fault *FaultError
	if errors.As(err, &fault) {
		fault.Replicas = count
	}
	return err
}

// replicasOf the data file, which may not be open yet.
func (s *Server) replicasOf(file ports.File, l *limits.Limits) uint32 {
	if s.opened != nil {
		return s.Replicas()
	}
	_, count, _ := PositionOf(file, l)
	return uint32(count)
}

// refusal gives an error of recovery the type that its cause deserves.
func refusal(err error) error {
	var damage interface{ Fault() storage.Fault }
	var fault *storage.Fault
	switch {
	case errors.As(err, &damage):
		return &FaultError{Fault: damage.Fault()}
	case errors.As(err, &fault):
		return faultError(fault)
	case errors.Is(err, unix.EIO):
		return &FaultError{Fault: storage.Fault{What: storage.FaultDisk, Reason: err.Error()}}
	}
	return err
}

// faultError gives a fault the type of its cause.
func faultError(fault *storage.Fault) error {
	switch fault.What {
	case storage.FaultNoSpace:
		return fmt.Errorf("%w (%s)", unix.ENOSPC, fault.Reason)
	case storage.FaultStorageLimit:
		return fmt.Errorf("%w (%s)", ErrStorageLimit, fault.Reason)
	}
	return &FaultError{Fault: *fault}
}
