package posix_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/posix"
)

const sectorBytes = 4096

// Goal: each kind of failure has its name, and what cannot be used is left as it was.
func TestOpenDataFileRefused(t *testing.T) {
	directory := t.TempDir()
	present := filepath.Join(directory, "present")
	if err := os.WriteFile(present, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(directory, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	open := posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true}
	create := open
	create.Create = true
	cases := []struct {
		name, path string
		options    posix.OpenOptions
		want       error
	}{
		{"missing", filepath.Join(directory, "absent"), open, posix.ErrMissing},
		{"exists", present, create, posix.ErrExists},
		{"directory", directory, open, posix.ErrNotAFile},
		{"fifo", fifo, open, posix.ErrNotAFile},
		{"no such directory", filepath.Join(directory, "absent", "file"), create, nil},
	}
	for _, c := range cases {
		file, err := posix.OpenDataFile(c.path, c.options)
		if err == nil {
			_ = file.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: error %q, want %q", c.name, err, c.want)
		}
	}
	if data, err := os.ReadFile(present); err != nil || string(data) != "old" {
		t.Errorf("the existing file holds %q (%v)", data, err)
	}
}

// Goal: a second opener is refused while the first lives, and succeeds at once after it.
func TestDataFileLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	options := posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true, Create: true}
	first, err := posix.OpenDataFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	options.Create = false
	if second, err := posix.OpenDataFile(path, options); !errors.Is(err, posix.ErrLocked) {
		t.Fatalf("opened twice: %v, %v", second, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := posix.OpenDataFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

// Goal: a file system without direct I/O is refused by name, and taken when direct I/O is optional.
func TestDataFileNoDirectIO(t *testing.T) {
	const shared = "/dev/shm"
	var stat unix.Statfs_t
	if err := unix.Statfs(shared, &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		t.Skip("no tmpfs here")
	}
	path := filepath.Join(shared, "ledger-test-"+filepath.Base(t.TempDir())+"-"+t.Name())
	defer os.Remove(path)
	// Sectors of 100 bytes suit no direct I/O, so this is refused whether the kernel's tmpfs pretends
	// to have it or not.
	options := posix.OpenOptions{SectorBytes: 100, Create: true}
	file, err := posix.OpenDataFile(path, options)
	if err == nil {
		_ = file.Close()
		t.Skip("this kernel's tmpfs takes O_DIRECT and tells no alignment")
	}
	if !errors.Is(err, posix.ErrNoDirectIO) {
		t.Fatalf("error %q, want ErrNoDirectIO", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a refused file was left behind (%v)", err)
	}
	options.DirectOptional = true
	file, err = posix.OpenDataFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	if file.Direct {
		t.Error("direct I/O with sectors of 100 bytes")
	}
	_ = file.Close()
}

// Goal: as a ports.File it keeps what is written, reads zeros behind the end, and knows its size.
func TestDataFileReadWrite(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	path := filepath.Join(t.TempDir(), "data")
	file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	written, read := memory.Bytes(3*sectorBytes, sectorBytes, "test"), memory.Bytes(8*sectorBytes, sectorBytes, "test")
	for i := range written {
		written[i] = byte(i%251) + 1
	}
	if err := file.WriteAt(written, sectorBytes); err != nil {
		t.Fatal(err)
	}
	if err := file.WriteAt(written[:sectorBytes], 4*sectorBytes); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range read {
		read[i] = 0xee
	}
	if err := file.ReadAt(read, 0); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, sectorBytes)
	want := bytes.Join([][]byte{zeros, written, written[:sectorBytes], zeros, zeros, zeros}, nil)
	if !bytes.Equal(read, want) {
		t.Error("what was read differs from what was written")
	}
	if size, err := file.SizeBytes(); err != nil || size != 5*sectorBytes {
		t.Errorf("size %d (%v), want %d", size, err, 5*sectorBytes)
	}
	if err := file.Allocate(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	if size, err := file.SizeBytes(); err != nil || size != 1<<20 {
		t.Errorf("size %d (%v) after allocating, want %d", size, err, 1<<20)
	}
	if err := unix.Ftruncate(file.Fd, sectorBytes+10); err != nil {
		t.Fatal(err)
	}
	if err := file.ReadAt(read[:2*sectorBytes], 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read[sectorBytes:][:10], written[:10]) || !bytes.Equal(read[sectorBytes+10:2*sectorBytes], zeros[10:]) {
		t.Error("a file that ends inside a sector reads wrongly")
	}
}

// Goal: a new file without a name, or with a temporary one, gets its name only if nobody has it,
// and a file's removal never removes another file that has taken the name.
func TestPublish(t *testing.T) {
	for _, unnamed := range []bool{true, false} {
		folder := t.TempDir()
		path := filepath.Join(folder, "data")
		open := func() (file *posix.DataFile, publish func() error) {
			t.Helper()
			options := posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true, Unnamed: unnamed, Create: !unnamed}
			name := path
			if !unnamed {
				name = path + ".temporary"
			}
			file, err := posix.OpenDataFile(name, options)
			if errors.Is(err, posix.ErrNoUnnamed) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			if unnamed {
				return file, file.Publish
			}
			return file, func() error { return file.PublishAs(path) }
		}
		first, publish := open()
		if entries, err := os.ReadDir(folder); err != nil || unnamed && len(entries) > 0 || first.HasName() == unnamed {
			t.Fatalf("the folder holds %v before the file has its name, error %v", entries, err)
		}
		if err := publish(); err != nil || !first.HasName() {
			t.Fatalf("error %v", err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
		}
		second, publish := open()
		if err := publish(); !errors.Is(err, posix.ErrExists) {
			t.Errorf("a second file takes the name: error %v", err)
		}
		second.Remove()
		if !first.HasName() {
			t.Error("the removal of the second file removes the first")
		}
		first.Remove()
		if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
			t.Errorf("the folder holds %v after both are removed, error %v", entries, err)
		}
	}
}
