package client

import (
	"errors"
	"fmt"

	"ledger/wire"
)

// Errors to compare with errors.Is.
var (
	// ErrClosed is the answer of a Session or Client after Close.
	ErrClosed = errors.New("client: closed")
	// ErrEvicted matches every *EvictedError.
	ErrEvicted = errors.New("client: evicted")
	// ErrReleaseTooLow and ErrReleaseTooHigh match an *EvictedError for that reason: client and server
	// are too far apart.
	ErrReleaseTooLow  = errors.New("client: the server no longer serves this client release")
	ErrReleaseTooHigh = errors.New("client: the server does not know this client release yet")
	// ErrTooMuchData refuses a call that no single request can carry, or whose results no reply can.
	// Nothing was sent.
	ErrTooMuchData = errors.New("client: too many events for one request")
	// ErrReply says that a reply, correct in its checksums, does not answer what was asked.
	ErrReply = errors.New("client: the reply does not fit the request")
)

// EvictedError ends a session: the server has given up this client. Whether the request in flight
// took effect is unknown.
type EvictedError struct {
	Reason    wire.EvictionReason
	Release   wire.Release // of the session
	Announced wire.Release // by the server
}

func (e *EvictedError) Error() string {
	if !e.IsRelease() {
		return "client: evicted by the server: " + e.Reason.String()
	}
	return fmt.Sprintf("client: evicted by the server: %s: it announces release %s and does not serve clients of release %s; "+
		"this client speaks %s to %s", e.Reason, e.Announced, e.Release, wire.ReleaseSpokenMin, wire.ReleaseCurrent)
}

// IsRelease tells whether the server does not serve the release of the session. Asking again does
// not help then.
func (e *EvictedError) IsRelease() bool {
	return e.Reason == wire.EvictionReleaseTooLow || e.Reason == wire.EvictionReleaseTooHigh
}

// Is matches the errors above.
func (e *EvictedError) Is(target error) bool {
	switch target {
	case ErrEvicted:
		return true
	case ErrReleaseTooLow:
		return e.Reason == wire.EvictionReleaseTooLow
	case ErrReleaseTooHigh:
		return e.Reason == wire.EvictionReleaseTooHigh
	}
	return false
}
