package main

import (
	"errors"
	"fmt"

	"ledger/config"
	"ledger/internal/posix"
	"ledger/replica"
)

// checkAddress stands for the addresses of a start that does not take place.
const checkAddress = "3001"

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
	report, err := replica.CheckOf(file, start.Limits)
	if err = classify(path, err); err != nil {
		report.Error, report.Status = err.Error(), statusOf(err)
		err = &loggedError{err}
	}
	if shown := show(s, asJSON, report); shown != nil {
		return shown
	}
	return err
}
