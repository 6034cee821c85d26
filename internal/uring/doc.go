// Package uring performs disk and network operations through one io_uring per OS thread.
//
//	stage --Read, Write, Receive, Send--> [Disk, Network] --flush--> submission queue --+
//	                                            ^                    one io_uring_enter |
//	                                            +---complete, by user data--- completion queue
//
// Submissions and the collection of completions share a system call, and there is none at all if
// nothing is to be submitted and the ring's flag word announces nothing. A turn makes at most one,
// but for many sends behind a write of the log: they go in portions, so that the next write of its
// chain begins between two of them. A receive waits for the next call that has another reason. Wait
// is the same call with a time limit; a read of the parker's eventfd is kept armed, so that a wake
// is a completion like any other. The first part of a wait, waitBriefNs, is hidden from Go's
// runtime, which then neither gives our P away nor has to find us another; only what is longer is a
// second call.
//
// In:     operations of ports.Disk and ports.Network.
// Out:    their completions.
// Owns:   the ring and the connections. Buffers are the kernel's from flush to completion. All
// memory that a submission names lies in an arena: the kernel keeps addresses that Go's collector
// does not know.
// Limits: submissionsMax submissions per turn (what is more waits in its port for the next),
// completionsTurnMax completions per turn; a longer backlog is kept by the kernel, none is lost.
// Faults: NewThread probes what we need, makes each of io_uring's system calls once on a trial
// ring, and returns ErrUnavailable with the name of what is refused or missing; the caller then
// takes package posix, with one warning. Short and interrupted transfers are continued. A chain
// that the kernel breaks up where we did not (after a short write, or when it takes only part of a
// submission) is put together again: see disk.go.
// Source: design, sections 2 (parking) and 11.6; io_uring_setup(2), io_uring_enter(2).
//
// The ring is made by giouring; the faults of that library decide what is used of it. Its Params
// cannot be filled in from outside (we have a mirror), its Prepare functions leave old flags in
// reused entries and pass wrong addresses (we fill in entries ourselves), and whether it makes a
// system call cannot be seen from outside (we map the ring's flag word a second time).
package uring
