package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/events"
	"ledger/limits"
	"ledger/replica"
)

// restart ends a process that is to become one of the next release.
type restart struct {
	next    *replica.NextRelease
	program string
}

func (r *restart) Error() string { return r.next.Error() }

// nextRelease returns the error with which a server ends whose release has ended: a restart, if one
// is wanted and the file of this program offers the next release; else the exit status. It returns
// nil if err is another reason to end.
func nextRelease(log *events.Log, err error, mayRestart bool, program string) error {
	var next *replica.NextRelease
	if !errors.As(err, &next) {
		return nil
	}
	ended := events.UpgradeEnded{From: next.From, To: next.To, Program: program, Status: exitUpgrade}
	if mayRestart {
		offers := offersRelease(program, next.To)
		if ended.IsRestarted = offers == nil; ended.IsRestarted {
			log.UpgradeEnded(ended)
			return &restart{next, program}
		}
		ended.Reason = offers.Error()
	}
	log.UpgradeEnded(ended)
	return &loggedError{&statusError{exitUpgrade, next}}
}

// offersWithin is the time that a program has to say which releases it offers.
const offersWithin = 10 * time.Second

// offersRelease asks the file of a program whether it offers a release. The file may be another one
// than that of this process by now. nil: it does.
func offersRelease(program string, release uint32) error {
	// A file system that hangs must not keep a process that serves nobody any more.
	limited, cancel := context.WithTimeout(context.Background(), offersWithin)
	defer cancel()
	output, err := exec.CommandContext(limited, program, "version", "--verbose").Output()
	if err != nil {
		return fmt.Errorf("%s does not say which releases it offers: %w", program, err)
	}
	values := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[name], _ = strconv.ParseUint(value, 10, 32)
		}
	}
	if from, to := values["release_min"], values["release_max"]; uint64(release) < from || uint64(release) > to {
		return fmt.Errorf("%s offers releases %d to %d", program, from, to)
	}
	return nil
}

// become makes this process that of the program, with the same arguments. It returns only if the
// kernel refuses.
func (r *restart) become() error {
	err := unix.Exec(r.program, append([]string{r.program}, os.Args[1:]...), os.Environ())
	return &statusError{exitUpgrade, fmt.Errorf("%w: starting %s: %w", r.next, r.program, err)}
}

// ownProgram is the file from which this process was started, "" if nobody knows.
func ownProgram() string {
	path, _ := os.Executable()
	return strings.TrimSuffix(path, " (deleted)")
}

// trialRelease is the warning about a program that offers the release of tests, or "".
func trialRelease(l *limits.Limits) string {
	if l.ReleaseMax != limits.ReleaseTrial {
		return ""
	}
	return fmt.Sprintf("this program was built with the tag trialrelease and offers release %d, which is for tests of upgrades and refuses "+
		"accounts of code %d: no other program will read a data file of it", l.ReleaseMax, accounting.TrialCode)
}
