package feed

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// timestampOf reads the lines of these tests.
func timestampOf(line []byte) (uint64, error) {
	return strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(string(line), "at "), "."), 10, 63)
}

// forms are a form without a header, and one with it.
func forms() []Form {
	return []Form{{Start: "at ", Timestamp: timestampOf}, {Header: "when\n", Start: "at ", Timestamp: timestampOf}}
}

func line(timestamp uint64) string { return fmt.Sprintf("at %d.\n", timestamp) }

func opened(t *testing.T, path string, rotateBytesMin int64) *File {
	t.Helper()
	f, err := OpenFile(path, forms()[0], rotateBytesMin)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Goal: wherever a job ended, the next one goes on behind the last whole line.
func TestResumeAnywhere(t *testing.T) {
	for _, form := range forms() {
		whole := form.Header + line(5) + line(6) + line(7)
		for size := range len(whole) + 1 {
			path := filepath.Join(t.TempDir(), "events")
			if err := os.WriteFile(path, []byte(whole[:size]), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := OpenFile(path, form, 0)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			kept := whole[:strings.LastIndexByte(whole[:size], '\n')+1]
			if want := []uint64{0, 5, 6, 7}[strings.Count(kept, "at")]; f.Last() != want {
				t.Errorf("%d bytes: the last timestamp is %d, want %d", size, f.Last(), want)
			}
			if err := f.Write([]byte(line(8)+line(9)), 9); err != nil || f.Last() != 9 {
				t.Errorf("%d bytes: the last timestamp is %d, error %v", size, f.Last(), err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if kept == "" {
				kept = form.Header
			}
			if got, want := content(t, path), kept+line(8)+line(9); got != want {
				t.Errorf("%d bytes: %q, want %q", size, got, want)
			}
		}
	}
}

// Goal: a file that is another's is refused, and stays as it is.
func TestForeignFile(t *testing.T) {
	folder := t.TempDir()
	for _, text := range []string{"hello\n", "hello", "at x.\n", line(5) + "hello\n", line(5) + "\n", line(5) + "at -1.\n" + "at",
		"at " + strings.Repeat("x", 3*LineBytesMax)} {
		path := filepath.Join(folder, "foreign")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := OpenFile(path, forms()[0], 0); err == nil {
			t.Errorf("%.40q: is taken, the last timestamp is %d", text, f.Last())
		} else if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "name another file") {
			t.Error(err)
		}
		if got := content(t, path); got != text {
			t.Errorf("%.40q became %.40q", text, got)
		}
	}
	for _, path := range []string{folder, "/dev/null", filepath.Join(folder, "no", "file")} {
		if _, err := OpenFile(path, forms()[0], 0); err == nil {
			t.Errorf("%s: is taken", path)
		}
	}
}

// Goal: two jobs do not write to one file.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	f := opened(t, path, 0)
	if _, err := OpenFile(path, forms()[0], 0); err == nil || !strings.Contains(err.Error(), "another job") {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, path, 0).Close(); err != nil {
		t.Error(err)
	}
}

// Goal: a file that is full gets the name of its last event, and the next job goes on behind it,
// also if the last one ended before it began a new file.
func TestRotate(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "events")
	f := opened(t, path, int64(2*len(line(1))))
	for timestamp := uint64(1); timestamp <= 5; timestamp++ {
		if err := f.Write([]byte(line(timestamp)), timestamp); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	first, second := path+".0000000000000000002", path+".0000000000000000004"
	if content(t, first) != line(1)+line(2) || content(t, second) != line(3)+line(4) || content(t, path) != line(5) {
		t.Errorf("%q, %q, %q", content(t, first), content(t, second), content(t, path))
	}
	for _, name := range []string{".0000000000000000009x", ".9", "x.0000000000000000009"} { // of somebody else
		if err := os.WriteFile(path+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f = opened(t, path, 1)
	if f.Last() != 4 {
		t.Errorf("the last timestamp is %d, want 4", f.Last())
	}
	if err := f.Write([]byte(line(5)), 5); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Goal: a new name that is taken fails the write, and nothing is overwritten. The write goes
// through once the cause is gone.
func TestRotateFails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "events")
	f := opened(t, path, 1)
	if err := f.Write([]byte(line(1)), 1); err != nil {
		t.Fatal(err)
	}
	taken := path + ".0000000000000000001"
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Write([]byte(line(2)), 2); err == nil || content(t, taken) != "precious" || f.Last() != 1 {
			t.Errorf("error %v, the last timestamp is %d", err, f.Last())
		}
	}
	if err := os.Remove(taken); err != nil {
		t.Fatal(err)
	}
	if err := f.Write([]byte(line(2)), 2); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(folder)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, []string{"events", "events.0000000000000000001"}) || content(t, path) != line(2) || content(t, taken) != line(1) {
		t.Errorf("%q: %q, %q", names, content(t, path), content(t, taken))
	}
}
