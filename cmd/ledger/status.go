package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"ledger/storage"
)

// Exit statuses. No error has status 2, because Go's runtime ends a panic, which is a broken
// assertion, with 2 and a stack on stderr. A supervisor must be able to tell a bug from a full
// disk. The table in docs/operations.md tells what to do.
const (
	exitDone    = 0
	exitRefused = 1 // the command line, the configuration, the machine or the data file is not as it must be
	exitPanic   = 2 // Go's; nothing here returns it
	exitDamage  = 3 // damaged data or a failing disk
	exitNoSpace = 4 // no space left on the disk
	exitLimit   = 5 // the storage limit is reached
	exitOthers  = 6 // this replica needs something from the others that none of them brings
	exitUpgrade = 7 // another release goes on from the data file
	// Of ping: why a client would hang.
	exitNobody  = 10
	exitCluster = 11
	exitQuorum  = 12
	exitRelease = 13
	exitSession = 14
	exitSilent  = 15
	exitFailure = 16 // of doctor: a check has failed

	exitSignaled = 128
)

// exitStatuses is the table of all statuses, with the words of docs/operations.md. A test compares
// the two.
var exitStatuses = []struct {
	status int
	means  string
}{
	{exitDone, "stopped by SIGTERM or SIGINT, or by the end of stdin with --addresses=0; or done"},
	{exitRefused, "the command line, the configuration, the machine or the data file is not as it must be"},
	{exitPanic, "a broken assertion: a bug, with a Go stack on stderr"},
	{exitDamage, "damaged data, or a failing disk"},
	{exitNoSpace, "no space left on the disk, or a quota or limit on file sizes reached"},
	{exitLimit, "the storage limit is reached"},
	{exitOthers, "a replica of several needs something from the others that none of them brings"},
	{exitUpgrade, "the cluster has passed to another release, and a program that offers it is to be started"},
	{exitNobody, "ping: no server listens at the addresses"},
	{exitCluster, "ping: the server serves another cluster"},
	{exitQuorum, "ping: too few replicas answer, or none takes requests"},
	{exitRelease, "ping: clients of this release are not served"},
	{exitSession, "ping: all sessions or connections are taken"},
	{exitSilent, "ping: the server takes connections and does not answer"},
	{exitFailure, "doctor: a check has failed"},
	{exitSignaled + int(unix.SIGINT), "a second signal came before the server had stopped, and it was SIGINT"},
	{exitSignaled + int(unix.SIGTERM), "a second signal came before the server had stopped, and it was SIGTERM"},
}

// statusError is an error with an exit status other than 1.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// loggedError is an error whose line is in the log already.
type loggedError struct{ err error }

func (e *loggedError) Error() string { return e.err.Error() }
func (e *loggedError) Unwrap() error { return e.err }

// noSpace says why there was no room if that is what the system call behind err said: a full disk,
// a quota that is used up, or a limit on the size of files; else "".
func noSpace(err error) string {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	return storage.NoSpace(int32(errno))
}

// statusOf an error that ends the process.
func statusOf(err error) int {
	if status := (*statusError)(nil); errors.As(err, &status) {
		return status.status
	}
	return exitRefused
}
