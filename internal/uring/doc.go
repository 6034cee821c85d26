// Package uring performs disk and network operations through one io_uring per OS thread.
//
//	stage --Read, Write, Receive, Send--> [Disk, Network] --flush--> submission queue --+
//	                                            ^                                       |
//	                                            |                        one io_uring_enter
//	                                            |                                       |
//	                                            +--complete, by user data-- completions <+
//
// One io_uring_enter both submits operations and collects completions. A turn makes no system call
// if nothing is to be submitted and the ring's flag word announces nothing. Otherwise it makes one.
// The exception is a turn with many sends while a write of the log is under way. Such a turn
// submits the sends in portions, one system call each, because the kernel begins the next write of
// a chain only between two calls. A receive alone does not cause a system call: it waits a few
// turns for one that has another reason.
//
// Wait is the same call with a time limit. A read of the parker's eventfd is always armed, so a
// wake is a completion like any other. The first part of a wait (waitBriefNs) is a system call of
// which Go's runtime is not told, so the runtime does not give our P to another thread. Only a
// longer wait makes a second call that the runtime knows of.
//
// In:     operations of ports.Disk and ports.Network.
// Out:    their completions.
// Owns:   the ring and the connections. A buffer is the kernel's from flush to completion. All
// memory that a submission names lies in an arena, because the kernel keeps addresses of which Go's
// collector does not know.
// Limits: submissionsMax submissions per system call; further ones wait in their port.
// completionsTurnMax completions per turn; the kernel keeps the others, and none is lost.
// Faults: NewThread probes the features that we need and makes each of io_uring's system calls once
// on a trial ring. If something is refused or missing, it returns ErrUnavailable with its name, and
// the caller takes package posix instead, with one warning. Short and interrupted transfers are
// continued. The kernel may break up a chain where we did not: after a short write, or when it
// takes only some of the submissions. Such a chain is put together again, see disk.go.
// Source: design, sections 2 (parking) and 11.6; io_uring_setup(2), io_uring_enter(2).
//
// Package giouring makes the ring. Three faults of that library limit what is used of it. Its
// Params cannot be filled in from outside, so we have a mirror of the struct. Its Prepare functions
// leave old flags in reused entries and pass wrong addresses, so we fill in entries ourselves. It
// does not tell whether it makes a system call, so we map the ring's flag word a second time and
// call enter ourselves.
package uring
