package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/limits"
	"ledger/storage/datafile"
)

// questions are all that a data file can be asked.
func questions(path string) [][]string {
	var list [][]string
	for _, name := range []string{"superblock", "layout", "wal", "checkpoint", "tables", "sessions", "digest"} {
		list = append(list, []string{"inspect", name, path})
	}
	return append(list, []string{"inspect", "wal", "--slot=1", path}, []string{"inspect", "tables", "--tree=transfer_id", path},
		[]string{"verify", path})
}

// Goal: every question has an answer as text and as JSON, for a file at rest and for one that a
// server uses, and asking leaves no trace: the server starts and goes on.
func TestInspect(t *testing.T) {
	path := formatted(t)
	before := fingerprint(t, path)
	ask := func() {
		t.Helper()
		for _, question := range questions(path) {
			status, text, stderr := ran(t, question...)
			if status != exitDone || text == "" || stderr != "" {
				t.Errorf("%v: status %d: %s", question, status, stderr)
			}
			status, text, stderr = ran(t, append(question, "--json")...)
			var object map[string]any
			if status != exitDone || stderr != "" || json.Unmarshal([]byte(text), &object) != nil || strings.Count(text, "\n") != 1 {
				t.Errorf("%v --json: status %d: %s%s", question, status, text, stderr)
			}
		}
	}
	ask()
	if after := fingerprint(t, path); after != before {
		t.Error("inspect writes")
	}
	s := harness(t, path)
	ask()
	s.signal(t, unix.SIGTERM)
	if status := wait(t, s.Cmd); status != exitDone {
		t.Errorf("the server ends with status %d", status)
	}
	ask()
	want := `{"zones":[{"name":"superblock-0","offset":0,"size":24576},{"name":"superblock-1","offset":24576,"size":24576},` +
		`{"name":"superblock-2","offset":49152,"size":24576},{"name":"superblock-3","offset":73728,"size":24576},` +
		`{"name":"log-twins","offset":98304,"size":16777216},{"name":"log-prepares","offset":16875520,"size":1073741824},` +
		`{"name":"grid","offset":1091043328,"size":0}]}` + "\n"
	if _, got, _ := ran(t, "inspect", "layout", "--json", path); got != want {
		t.Errorf("layout %s, want %s", got, want)
	}
}

// Goal: damage ends with status 3 and is named on stdout; a damaged file is asked everything else
// all the same.
func TestVerifyDamage(t *testing.T) {
	l := limits.Production()
	layout := datafile.NewLayout(&l)
	flip := func(offset uint64) func(file *os.File) {
		return func(file *os.File) {
			b := make([]byte, 1)
			if _, err := file.ReadAt(b, int64(offset)); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0x40
			if _, err := file.WriteAt(b, int64(offset)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name    string
		offsets []uint64
		want    string
	}{
		{"superblock", []uint64{layout.SuperblockCopyAt(2) + 200}, "damaged: superblock copy 2, offset 49152: its checksum does not match\n"},
		{"twin", []uint64{layout.TwinAt(5) + 120}, "damaged: twin, slot 5, offset 180224: the header's checksum does not match\n"},
		{"prepare", []uint64{layout.PrepareAt(9) + 120}, "damaged: prepare, slot 9, offset 26312704: the header's checksum does not match\n"},
		{"all copies", []uint64{100, 24576 + 100, 2*24576 + 100, 3*24576 + 100}, "no copy of the superblock is whole"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := formatted(t)
			for _, offset := range test.offsets {
				edit(t, path, flip(offset))
			}
			status, text, stderr := ran(t, "verify", path)
			if status != exitDamage || !strings.Contains(text, test.want) || !strings.Contains(stderr, path) {
				t.Errorf("status %d: %s%s", status, text, stderr)
			}
			for _, question := range questions(path) {
				if status, _, stderr := ran(t, question...); status != exitDone && status != exitDamage || strings.Contains(stderr, "panic") {
					t.Errorf("%v: status %d: %s", question, status, stderr)
				}
			}
		})
	}
}

// Goal: what is no data file of this version is refused, with the path, what was found, and what to
// do.
func TestInspectRefuses(t *testing.T) {
	folder := t.TempDir()
	short, zeros, old, fifo := filepath.Join(folder, "short"), filepath.Join(folder, "zeros"), formatted(t), filepath.Join(folder, "fifo")
	if err := os.WriteFile(short, []byte("no data file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(zeros, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(zeros, 2<<30); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	changeSuperblock(t, old, func(content []byte) { binary.LittleEndian.PutUint32(content[32:], limits.FormatVersion-1) })
	cut := formatted(t)
	if err := os.Truncate(cut, 20<<20); err != nil {
		t.Fatal(err)
	}
	good := formatted(t)
	for _, test := range []struct {
		path string
		want []string
	}{
		{cut, []string{"20971520 bytes", "cut off", "restore it from a backup"}},
		{filepath.Join(folder, "none"), []string{"does not exist", "ledger format"}},
		{folder, []string{"it is a directory"}},
		{fifo, []string{"neither a regular file nor a block device"}},
		{short, []string{"12 bytes", "never formatted"}},
		{zeros, []string{"holds no superblock", "never formatted"}},
		{old, []string{"format version 3", "reads version 4", "use the older server"}},
	} {
		for _, question := range append(questions(test.path), []string{"inspect", "block", "1", test.path}) {
			status, _, stderr := ran(t, question...)
			isAnswered := status == exitRefused && strings.Contains(stderr, test.path)
			for _, want := range test.want {
				isAnswered = isAnswered && strings.Contains(stderr, want)
			}
			if !isAnswered {
				t.Errorf("%v: status %d: %s; want %q", question, status, stderr, test.want)
			}
		}
	}
	for want, arguments := range map[string][]string{
		"--slot=1024: must be a slot of the log, 0 to 1023": {"inspect", "wal", "--slot=1024", good},
		"--slot=x: must be":                           {"inspect", "wal", "--slot=x", good},
		"--tree=odd: must be a tree: transfer_log":    {"inspect", "tables", "--tree=odd", good},
		"x: must be the address of a block":           {"inspect", "block", "x", good},
		"the grid has no blocks yet":                  {"inspect", "block", "7", good},
		"--sloth: there is no such flag":              {"inspect", "wal", "--sloth", good},
		"there is no such flag: ledger inspect wal -": {"inspect", "wal", "--tree=x", good},
	} {
		if status, _, stderr := ran(t, arguments...); status != exitRefused || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d: %s; want %s", arguments, status, stderr, want)
		}
	}
}
