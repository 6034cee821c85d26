package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ledger/config"
	"ledger/events"
	"ledger/internal/ports"
	"ledger/replica"
	"ledger/trace"
)

// traceOld is the end of the name of the trace before.
const traceOld = ".old"

// createTrace makes the file of --trace, or returns nil if none is wanted. An earlier trace of that
// name is kept under another one, so that a supervisor can start a server again. Nothing else is
// overwritten.
func createTrace(start *config.Start) (*os.File, error) {
	if start.Trace == "" {
		return nil, nil
	}
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	file, err := os.OpenFile(start.Trace, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if !isTrace(start.Trace) {
			return nil, fmt.Errorf("%s: the file exists and is no trace: name another, or remove it first", start.TraceOrigin)
		}
		if err = os.Rename(start.Trace, start.Trace+traceOld); err == nil {
			file, err = os.OpenFile(start.Trace, flags, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", start.TraceOrigin, err)
	}
	return file, nil
}

// isTrace tells whether a file begins like a trace.
func isTrace(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, len(trace.Head))
	count, err := io.ReadFull(file, head)
	isEmpty := count == 0 && err == io.EOF // of a start that came to nothing
	return isEmpty || bytes.Equal(head, []byte(trace.Head))
}

// startTrace begins to write to file, if there is one.
func startTrace(file *os.File, dataFile ports.File, start *config.Start) *trace.Trace {
	if file == nil {
		return nil
	}
	index, _, _ := replica.PositionOf(dataFile, &start.Limits)
	return trace.Start(file, int(index))
}

// endTrace completes the file.
func endTrace(t *trace.Trace, log *events.Log) {
	if t == nil {
		return
	}
	if err := t.Close(); err != nil {
		log.Caution(events.Caution{Line: fmt.Sprintf("the trace has ended early: %v", err)})
	}
	if dropped := t.Dropped(); dropped > 0 {
		log.Caution(events.Caution{Line: fmt.Sprintf("the trace lacks %d ops: they came faster than they were written, or it is full", dropped)})
	}
}
