package replica

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ledger/internal/arena"
)

// slotsTypicalBytes stands for the message slots in the sum of memory: they are touched last-in
// first-out, and load touches few.
const slotsTypicalBytes = 64 << 20

// runtimeBytes is the program itself: Go runtime, code, rings.
const runtimeBytes = 48 << 20

// memtablesBytes is what the two memtables come to, beside what is touched at start: in production
// the lists of accounts and expiries; with --development all of them.
const memtablesBytes = 64 << 20

// MemoryNeededBytes is what a replica may come to use: all that is reserved, except that of slots
// only what is touched at start and the share that load touches count.
func MemoryNeededBytes(memory *arena.Arena) uint64 {
	needed := uint64(runtimeBytes + slotsTypicalBytes + memtablesBytes)
	for _, entry := range memory.Entries() {
		if strings.HasSuffix(entry.Name, " slots") {
			needed += entry.TouchBytes
		} else {
			needed += entry.Bytes
		}
	}
	return needed
}

// MemoryAvailable is the least of the machine's memory and the limits of the control groups that
// the process is in. root is "/" except in tests.
func MemoryAvailable(root string) (availableBytes uint64, source string, err error) {
	meminfo, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0, "", fmt.Errorf("reading how much memory the machine has: %w", err)
	}
	for line := range bytes.Lines(meminfo) {
		fields := strings.Fields(string(line))
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kibibytes, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return 0, "", fmt.Errorf("reading MemTotal: %w", err)
			}
			availableBytes, source = kibibytes<<10, "the machine"
		}
	}
	if availableBytes == 0 {
		return 0, "", fmt.Errorf("%s names no MemTotal", filepath.Join(root, "proc/meminfo"))
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return availableBytes, source, nil // no control groups here
	}
	for line := range bytes.Lines(groups) {
		path, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		if !ok {
			continue
		}
		// Every group up to the root may limit us.
		for ; ; path = filepath.Dir(path) {
			limit, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", path, "memory.max"))
			if err == nil {
				if value, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64); err == nil && value < availableBytes {
					availableBytes, source = value, "control group "+path
				}
			}
			if path == "/" || path == "." {
				break
			}
		}
	}
	return availableBytes, source, nil
}

// checkMemory refuses, with numbers, what does not fit.
func checkMemory(needed uint64, root string) error {
	available, source, err := MemoryAvailable(root)
	if err != nil {
		return nil // nothing to compare with
	}
	if needed <= available {
		return nil
	}
	return fmt.Errorf("the caches and tables need %d MiB, %s has %d MiB: lower --cache-grid or --cache-accounts, or start with --development",
		needed>>20, source, available>>20)
}
