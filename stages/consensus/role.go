package consensus

import "ledger/wire"

// Role is what the replica does in its view, for people and metrics. No decision depends on it.
type Role uint8

const (
	RoleStarting   Role = iota // the log is being executed again
	RolePrimary                // it takes requests
	RoleBackup                 // it keeps what the primary prepares
	RoleChanging               // the replicas leave a view, or choose the log of the next one
	RoleRecovering             // it asks the others what the head of its log is
	RoleStandby                // it keeps what the primary prepares, and never votes
	RoleFailed                 // a stage has failed: the replica stops
	RolesCount
)

// RoleNames in order of the roles.
var RoleNames = [RolesCount]string{"starting", "primary", "backup", "view_change", "recovering", "standby", "failed"}

func (s *Stage) role() Role {
	switch {
	case s.status.isFailed():
		return RoleFailed
	case !s.isCluster() && s.status.isServing():
		return RolePrimary
	case !s.isCluster() || !s.isStarted():
		return RoleStarting
	case s.views.isRecovering():
		return RoleRecovering
	case s.isStandby() && s.isSettled():
		return RoleStandby
	case s.isStandby():
		return RoleStarting // it asks for the log of the view
	case !s.isSettled():
		return RoleChanging
	case !s.isPrimary():
		return RoleBackup
	case s.mayOrder():
		return RolePrimary
	}
	return RoleStarting // the new primary executes what is committed before it takes requests
}

// SessionSample is the session of one client.
type SessionSample struct {
	Client  wire.U128
	Release wire.Release
	Request uint32 // number of the last request that was answered
	Op      uint64 // of that answer
}

// SampleSessions copies the sessions into out, which has room for all of them, and returns their
// number. To be called on the stage's thread, between two turns.
func (s *Stage) SampleSessions(out []SessionSample) (count int) {
	for i := range s.sessions.size() {
		if e := s.sessions.entry(i); e.used && count < len(out) {
			out[count] = SessionSample{Client: e.client, Release: e.release, Request: e.request, Op: e.op}
			count++
		}
	}
	return count
}
