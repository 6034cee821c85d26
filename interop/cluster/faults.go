package cluster

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The file that a server of a build with the tag diskfaults shares with us: replica/diskfaults.go.
const (
	faultsEntriesAt  = 4096
	faultsEntries    = 32
	faultsEntryBytes = 4096 + 1<<20
	faultsBytes      = faultsEntriesAt + faultsEntries*faultsEntryBytes
)

// faultyBinary is a server that can have disk faults: LEDGER_FAULTS_BIN, or one that is built here.
func faultyBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LEDGER_FAULTS_BIN"); path != "" {
		return path
	}
	_, source, _, _ := runtime.Caller(0)
	path := filepath.Join(t.TempDir(), "ledger")
	command := exec.Command("go", "build", "-tags=diskfaults", "-ldflags=-checklinkname=0", "-o", path, "./cmd/ledger")
	command.Dir = filepath.Join(filepath.Dir(source), "..", "..")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building a server with disk faults: %v\n%s", err, output)
	}
	return path
}

// faults are the files of all replicas.
type faults struct {
	t     *testing.T
	files [replicas]*os.File
}

// newFaults makes the files, and the options of a group that uses them.
func newFaults(t *testing.T) (*faults, options) {
	t.Helper()
	f, folder := &faults{t: t}, t.TempDir()
	for i := range f.files {
		file, err := os.Create(filepath.Join(folder, string(rune('0'+i))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		if err := file.Truncate(faultsBytes); err != nil {
			t.Fatal(err)
		}
		f.files[i] = file
	}
	return f, options{binary: faultyBinary(t), env: func(i int) []string { return []string{"LEDGER_DISK_FAULTS=" + f.files[i].Name()} }}
}

// slow makes each disk request of replica i take so much longer.
func (f *faults) slow(i int, delay time.Duration) { f.set(i, 0, uint64(delay)) }

// failReads makes one of so many reads of each disk of replica i fail; 0: none.
func (f *faults) failReads(i int, per uint64) { f.set(i, 8, per) }

// strayReads makes one of so many reads of each disk of replica i bring what lies behind it; 0:
// none.
func (f *faults) strayReads(i int, per uint64) { f.set(i, 24, per) }

// loseWrites makes one of so many writes of each disk of replica i succeed without an effect; 0:
// none.
func (f *faults) loseWrites(i int, per uint64) { f.set(i, 32, per) }

// failSyncs makes all syncs of replica i fail, or ends that.
func (f *faults) failSyncs(i int, on bool) {
	if on {
		f.set(i, 40, 1)
	} else {
		f.set(i, 40, 0)
	}
}

// setClock makes the wall clock of replica i wrong by so much.
func (f *faults) setClock(i int, by time.Duration) { f.set(i, 48, uint64(by)) }

// failWrites makes all writes of replica i fail, or ends that.
func (f *faults) failWrites(i int, on bool) {
	if on {
		f.set(i, 16, 1)
	} else {
		f.set(i, 16, 0)
	}
}

func (f *faults) set(i int, offset int64, value uint64) {
	f.t.Helper()
	if _, err := f.files[i].WriteAt(binary.NativeEndian.AppendUint64(nil, value), offset); err != nil {
		f.t.Fatal(err)
	}
}

// awaitWrites returns when writes of the log are under way on some replica, or after a second.
func (f *faults) awaitWrites() {
	f.t.Helper()
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		count := 0
		for _, file := range f.files {
			for entry := range faultsEntries {
				state := make([]byte, 8)
				if _, err := file.ReadAt(state, int64(faultsEntriesAt+entry*faultsEntryBytes)); err != nil {
					f.t.Fatal(err)
				}
				count += int(binary.NativeEndian.Uint64(state))
			}
		}
		if count > 1 {
			return
		}
	}
}

// inFlight is a write of the log that was under way when its process was killed.
type inFlight struct {
	sequence, offset uint64
	isLinked         bool   // the next one begins only when this one is whole
	before           []byte // the write
}

// inFlight reads the writes of replica i, which was killed, and forgets them.
func (f *faults) inFlight(i int) (writes []inFlight) {
	f.t.Helper()
	for entry := range faultsEntries {
		at := int64(faultsEntriesAt + entry*faultsEntryBytes)
		fields := make([]byte, 40)
		if _, err := f.files[i].ReadAt(fields, at); err != nil {
			f.t.Fatal(err)
		}
		number := func(n int) uint64 { return binary.NativeEndian.Uint64(fields[8*n:]) }
		if number(0) == 0 {
			continue
		}
		w := inFlight{sequence: number(1), offset: number(2), isLinked: number(4) == 1, before: make([]byte, number(3))}
		if _, err := f.files[i].ReadAt(w.before, at+4096); err != nil {
			f.t.Fatal(err)
		}
		if _, err := f.files[i].WriteAt(make([]byte, 8), at); err != nil {
			f.t.Fatal(err)
		}
		writes = append(writes, w)
	}
	slices.SortFunc(writes, func(a, b inFlight) int { return int(int64(a.sequence) - int64(b.sequence)) })
	return writes
}

// tear puts sectors back that a power cut could have kept from the disk of replica i, which was
// killed. It returns the number of writes that were under way. A write that is linked behind
// another one has not begun unless that one is whole.
func (f *faults) tear(g *group, i int, random *rand.Rand) (writesCount int) {
	f.t.Helper()
	writes := f.inFlight(i)
	g.onFile(i, func(file *os.File) error {
		hasBegun := true
		for at, w := range writes {
			sectors := len(w.before) / sectorBytes
			var back []int
			switch roll := random.IntN(8); {
			case !hasBegun || roll == 0: // nothing of it is on the disk
				back = below(sectors)
			case roll == 1: // all of it
			case roll < 5: // it ends somewhere
				back = below(sectors)[random.IntN(sectors):]
			default: // any sectors
				for sector := range sectors {
					if random.IntN(2) == 0 {
						back = append(back, sector)
					}
				}
			}
			for _, sector := range back {
				at := sector * sectorBytes
				if _, err := file.WriteAt(w.before[at:][:sectorBytes], int64(w.offset)+int64(at)); err != nil {
					return err
				}
			}
			isNextLinked := w.isLinked && at+1 < len(writes) && writes[at+1].sequence == w.sequence+1
			hasBegun = !isNextLinked || hasBegun && len(back) == 0
		}
		return file.Sync()
	})
	return len(writes)
}

func below(count int) []int {
	list := make([]int, count)
	for i := range list {
		list[i] = i
	}
	return list
}
