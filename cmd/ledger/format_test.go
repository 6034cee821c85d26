package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/internal/posix"
	"ledger/wire"
)

type noFallocate struct{ err error }

func (f noFallocate) Allocate(uint64, uint64) error { return f.err }

// Without fallocate the zones are written in full; a full disk is still a full disk.
func TestReserveWithoutFallocate(t *testing.T) {
	if zeros, err := reserve(noFallocate{fmt.Errorf("allocate: %w", unix.EOPNOTSUPP)}, 1); !zeros || err != nil {
		t.Errorf("no fallocate: zeros %t, error %v", zeros, err)
	}
	if _, err := reserve(noFallocate{unix.ENOSPC}, 1); err != unix.ENOSPC {
		t.Errorf("full: error %v", err)
	}
}

// Of two formats of one name exactly one makes the file, the other is refused; no other name is
// left.
func TestTwoFormatsOfOnePath(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "0.data")
	var errs [2]error
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() {
			errs[i] = formatFile(&strings.Builder{}, path, &config.Format{Cluster: wire.U128{Lo: 7}, ReplicaCount: 1, ClientsMax: 64,
				Development: true})
		})
	}
	both.Wait()
	if errs[0] != nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	if errs[0] != nil || !errors.Is(errs[1], posix.ErrExists) {
		t.Fatalf("errors %v", errs)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || entries[0].Name() != "0.data" {
		t.Fatalf("left %v, error %v", entries, err)
	}
}
