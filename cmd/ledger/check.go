package main

import (
	"errors"
	"fmt"
	"time"

	"ledger/config"
	"ledger/internal/posix"
	"ledger/replica"
)

// checkAddress stands for the addresses of a start that does not take place.
const checkAddress = "3001"

// A server may write while its file is read, so what looks damaged then is looked at again.
const (
	checkTriesMax = 5
	checkPause    = 50 * time.Millisecond
)

// check says what a start would do, and writes nothing to the file.
func check(s *streams, start *config.Start, path string, asJSON bool) error {
	file, err := posix.OpenReadOnly(path, start.Limits.SectorBytes)
	if errors.Is(err, posix.ErrMissing) {
		return fmt.Errorf("%w: name one that ledger format has made", err)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	var fault *replica.FaultError
	inUse := file.IsInUse()
	report, err := replica.CheckOf(file, start.Limits)
	for try := 1; inUse && errors.As(err, &fault) && try < checkTriesMax; try++ {
		time.Sleep(checkPause)
		report, err = replica.CheckOf(file, start.Limits)
	}
	if report.InUse = inUse; inUse {
		report.RepairedCopies = 0 // the writes of the server are under way
		if errors.As(err, &fault) {
			err = fmt.Errorf("nobody can tell while a server writes to it: stop the server, or check a copy (%v)", err)
		}
	}
	if err = classify(path, err); err != nil {
		report.Error, report.Status = err.Error(), statusOf(err)
		err = &loggedError{err}
	}
	if shown := show(s, asJSON, report); shown != nil {
		return shown
	}
	return err
}
