package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/wire"
)

// edit changes a file in place.
func edit(t *testing.T, path string, change func(file *os.File)) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	change(file)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// changeSuperblock changes every copy of a superblock, and gives it the right checksum.
func changeSuperblock(t *testing.T, path string, change func(content []byte)) {
	t.Helper()
	const sumBytes, covered = 16, 24 // of a superblock copy
	l := limits.Production()
	layout := datafile.NewLayout(&l)
	edit(t, path, func(file *os.File) {
		for copyIndex := range l.SuperblockCopies {
			content := make([]byte, datafile.SuperblockContentBytes)
			at := int64(layout.SuperblockCopyAt(copyIndex))
			if _, err := file.ReadAt(content, at); err != nil {
				t.Fatal(err)
			}
			change(content)
			sum := prepare.Sum(content[covered:])
			copy(content[:sumBytes], sum[:])
			if _, err := file.WriteAt(content, at); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// likeReference makes a file with the size of a new data file of the reference, of cluster 77, and
// its ring of headers: each slot has a header of a prepare whose op is the slot's number. Source:
// storage, 2.1; consensus, 8.2; wire, 2.1.
func likeReference(t *testing.T, path string) {
	t.Helper()
	const sizeBytes, headersAt, slots, commandPrepare, opAt = 1141374976, 98304, 1024, 6, 224
	ring := make([]byte, slots*wire.HeaderBytes)
	for slot := range uint64(slots) {
		h := wire.HeaderOf(ring[slot*wire.HeaderBytes:])
		h.SetCluster(wire.U128{Lo: 77})
		h.SetSizeBytes(wire.HeaderBytes)
		h.SetCommand(commandPrepare)
		h.SetChecksumBody(wire.ChecksumOf(nil))
		binary.LittleEndian.PutUint64(h.Bytes()[opAt:], slot)
		h.SetChecksum(wire.ChecksumOf(h.Bytes()[16:]))
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(sizeBytes); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(ring, headersAt); err != nil {
		t.Fatal(err)
	}
}

// without marks a case that cannot be made on this machine.
func without(t *testing.T, why string, err error) { t.Skipf("%s: %v", why, err) }

// mounted is a file system of some kind that the test mounts, where it may.
func mounted(t *testing.T, kind, options string) string {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("none", path, kind, 0, options); err != nil {
		without(t, "mounting a "+kind, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// Every bad day at the start ends within seconds, with a documented status and one line that names
// cause and cure; never with a panic; and the data file stays as it was.
func TestRefusals(t *testing.T) {
	start := func(path string, more ...string) []string {
		return append([]string{"start", "--addresses=127.0.0.1:39871"}, append(more, path)...)
	}
	format := func(path string, more ...string) []string {
		return append([]string{"format", "--cluster=7", "--replica=0", "--replica-count=1"}, append(more, path)...)
	}
	missing := func(t *testing.T) string { return filepath.Join(t.TempDir(), "none.data") }
	// These are made once and shared: every case wants the file unchanged.
	once := func(create func(t *testing.T) string) func(*testing.T) string {
		path := sync.OnceValue(func() string { return create(t) })
		return func(*testing.T) string { return path() }
	}
	good := once(func(t *testing.T) string { return formatted(t) })
	random := func(t *testing.T, size int) string {
		path := missing(t)
		if err := os.WriteFile(path, bytes.Repeat([]byte("no data file. "), size/14), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := once(func(t *testing.T) string {
		path := formatted(t)
		changeSuperblock(t, path, func(content []byte) { binary.LittleEndian.PutUint32(content[32:], limits.FormatVersion+1) })
		return path
	})
	// Version 2 had a ring of headers of 256 KiB in the place of twins of 16 MiB, so that a new file
	// was shorter than one of version 3.
	older := once(func(t *testing.T) string {
		path := formatted(t)
		changeSuperblock(t, path, func(content []byte) { binary.LittleEndian.PutUint32(content[32:], limits.FormatVersion-1) })
		if err := os.Truncate(path, 1040<<20-16<<20+512<<10); err != nil {
			t.Fatal(err)
		}
		return path
	})
	ofThree := once(func(t *testing.T) string { return formattedOf(t, 2, 3) })
	reference := func(t *testing.T) string {
		path := missing(t)
		likeReference(t, path)
		return path
	}
	cases := []struct {
		name        string
		path        func(t *testing.T) string
		arguments   func(path string) []string
		environment []string
		status      int
		want        []string // parts of the line
	}{
		{"data file missing", missing, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{"none.data", "does not exist", "format"}},
		{"empty", func(t *testing.T) string { return random(t, 0) }, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{"0 bytes", "never formatted", "format"}},
		{"too short", func(t *testing.T) string {
			path := formatted(t)
			if err := os.Truncate(path, 100<<20); err != nil {
				t.Fatal(err)
			}
			return path
		}, func(p string) []string { return start(p) }, nil, exitRefused, []string{"104857600 bytes", "cut off", "backup"}},
		{"never formatted", func(t *testing.T) string {
			path := random(t, 1<<20)
			if err := os.Truncate(path, 2<<30); err != nil {
				t.Fatal(err)
			}
			return path
		}, func(p string) []string { return start(p) }, nil, exitRefused, []string{"never formatted", "ledger format"}},
		{"a newer format version", newer, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{fmt.Sprint("version ", limits.FormatVersion+1), fmt.Sprint("version ", limits.FormatVersion), "use the newer server"}},
		{"an older format version", older, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{fmt.Sprint("version ", limits.FormatVersion-1), fmt.Sprint("version ", limits.FormatVersion), "use the older server"}},
		{"a data file of the reference", reference, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{"data file of TigerBeetle", "cluster 77", "serve it with TigerBeetle", "another name", "imported"}},
		{"a storage limit below the file's size", func(t *testing.T) string {
			path := formatted(t)
			if err := os.Truncate(path, 3<<30); err != nil {
				t.Fatal(err)
			}
			return path
		}, func(p string) []string { return start(p, "--limit-storage=2GiB") }, nil, exitLimit,
			[]string{"3221225472 bytes (3072 MiB)", "2147483648 bytes (2048 MiB)", "start with a larger --limit-storage"}},
		{"fewer addresses than replicas", ofThree, func(p string) []string { return []string{"start", "--addresses=39871,39872", p} }, nil,
			exitRefused, []string{"--addresses=39871,39872: must name 3 addresses, one for each replica, not 2", "replica 2 of 3"}},
		{"more addresses than replicas", ofThree, func(p string) []string { return []string{"start", "--addresses=1,2,3,4,5,6,7,8,9,10", p} },
			nil, exitRefused, []string{"--addresses=1,2,3,4,5,6,7,8,9,10: must name 3 addresses, one for each replica, and behind them at most 6",
				"not 10", "replica 2 of 3"}},
		{"a port that the others cannot know", ofThree, func(p string) []string { return []string{"start", "--addresses=0", p} }, nil,
			exitRefused, []string{"--addresses=0: must name 3 addresses", "replica 2 of 3", "cannot know"}},
		{"an address to which nothing connects", ofThree, func(p string) []string { return []string{"start", "--addresses=0.0.0.0:1,2,3", p} },
			nil, exitRefused, []string{"--addresses=0.0.0.0:1,2,3: item 1", "replica 0"}},
		{"a position that no format writes", func(t *testing.T) string {
			path := formatted(t)
			changeSuperblock(t, path, func(content []byte) { content[36] = 3 })
			return path
		}, func(p string) []string { return start(p) }, nil, exitRefused, []string{"replica 3 of 1"}},
		{"three superblocks damaged", func(t *testing.T) string {
			path := formatted(t)
			edit(t, path, func(file *os.File) {
				for i := range int64(3) {
					if _, err := file.WriteAt([]byte{0xff}, i*24<<10+100); err != nil {
						t.Fatal(err)
					}
				}
			})
			return path
		}, func(p string) []string { return start(p) }, nil, exitDamage, []string{"superblock", "damaged", "restore"}},
		{"damaged log", func(t *testing.T) string {
			path := formatted(t)
			edit(t, path, func(file *os.File) {
				l := limits.Production()
				layout := datafile.NewLayout(&l)
				if _, err := file.WriteAt(bytes.Repeat([]byte{0xff}, 4096), int64(layout.PrepareAt(5))); err != nil {
					t.Fatal(err)
				}
			})
			return path
		}, func(p string) []string { return start(p) }, nil, exitDamage, []string{"log", "damaged", "restore"}},
		{"a directory", func(t *testing.T) string { return t.TempDir() }, func(p string) []string { return start(p) }, nil, exitRefused,
			[]string{"neither a regular file nor a block device"}},
		{"more replicas than there can be", missing, func(p string) []string {
			return []string{"format", "--cluster=7", "--replica=0", "--replica-count=7", p}
		}, nil, exitRefused, []string{"--replica-count=7", "1 to 6"}},
		{"a replica that the cluster has not", missing, func(p string) []string {
			return []string{"format", "--cluster=7", "--replica=3", "--replica-count=3", p}
		}, nil, exitRefused, []string{"--replica=3", "0 to 2", "3 replicas"}},
		{"format of a directory", func(t *testing.T) string { return t.TempDir() },
			func(p string) []string { return format(p) }, nil, exitRefused, []string{"is a directory", "name a file in it"}},
		{"no direct I/O", func(t *testing.T) string { return filepath.Join(mounted(t, "ramfs", ""), "0.data") },
			func(p string) []string { return format(p) }, nil, exitRefused, []string{"direct I/O", "--development"}},
		{"disk full at format", func(t *testing.T) string { return filepath.Join(mounted(t, "tmpfs", "size=64m"), "0.data") },
			func(p string) []string { return format(p, "--development") }, nil, exitNoSpace, []string{"no space left", "1040 MiB", "free some"}},
		{"a limit on file sizes", missing, func(p string) []string { return format(p, "--development") }, []string{fileSize + "=1048576"},
			exitNoSpace, []string{"may not get larger", "ulimit -f", "1040 MiB"}},
		{"memory refused", good, func(p string) []string { return start(p) }, []string{addressSpace + "=2500000000"}, exitRefused,
			[]string{"cannot reserve", "memory", "--cache-grid"}},
		{"caches that do not fit", good, func(p string) []string { return start(p, "--cache-grid=4TiB") }, nil, exitRefused,
			[]string{"MiB", "--cache-grid", "--development"}},
		{"file exists", good, func(p string) []string { return format(p) }, nil, exitRefused,
			[]string{"exists already", "cluster 0, replica 0", "start serves it", "name another"}},
		{"file of a newer version exists", newer, func(p string) []string { return format(p) }, nil, exitRefused,
			[]string{"exists already", fmt.Sprint("version ", limits.FormatVersion+1), "cluster 0", "name another"}},
		{"file of an older version exists", older, func(p string) []string { return format(p) }, nil, exitRefused,
			[]string{"exists already", fmt.Sprint("version ", limits.FormatVersion-1), "name another"}},
		{"file of the reference exists", reference, func(p string) []string { return format(p) }, nil, exitRefused,
			[]string{"exists already", "data file of TigerBeetle", "cluster 77", "name another", "imported"}},
		{"format of a link to nothing", func(t *testing.T) string {
			path := missing(t)
			if err := os.Symlink("elsewhere.data", path); err != nil {
				t.Fatal(err)
			}
			return path
		}, func(p string) []string { return format(p) }, nil, exitRefused, []string{"symbolic link", "elsewhere.data"}},
		{"format of a fifo", func(t *testing.T) string {
			path := missing(t)
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, func(p string) []string { return format(p) }, nil, exitRefused, []string{"neither a regular file nor a block device", "name another"}},
		{"no folder", func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "0.data") },
			func(p string) []string { return format(p) }, nil, exitRefused, []string{"directory does not exist"}},
		{"addresses missing", good, func(p string) []string { return []string{"start", p} }, nil, exitRefused,
			[]string{"--addresses", "is missing"}},
		{"a broken address", good, func(p string) []string { return []string{"start", "--addresses=127.0.0.1:http", p} }, nil, exitRefused,
			[]string{"--addresses=127.0.0.1:http", "port"}},
		{"a foreign address", good, func(p string) []string { return []string{"start", "--addresses=192.0.2.1:39871", p} }, nil, exitRefused,
			[]string{"192.0.2.1:39871"}},
		{"an unknown flag", good, func(p string) []string { return start(p, "--colour=red") }, nil, exitRefused, []string{"--colour"}},
		{"a flag twice", good, func(p string) []string { return start(p, "--development", "--development") }, nil, exitRefused,
			[]string{"--development", "twice"}},
		{"a size in powers of ten", good, func(p string) []string { return start(p, "--cache-grid=1GB") }, nil, exitRefused,
			[]string{"--cache-grid=1GB"}},
		{"an unknown interface", good, func(p string) []string { return start(p, "--io=dma") }, nil, exitRefused,
			[]string{"--io=dma", "uring", "posix"}},
		{"a core that is not there", good, func(p string) []string {
			config := p + ".toml"
			if err := os.WriteFile(config, []byte("[affinity]\napply = \"4000\"\n"), 0o600); err != nil {
				panic(err)
			}
			return start(p, "--config="+config)
		}, nil, exitRefused, []string{"apply", "4000"}},
		{"no command", missing, func(string) []string { return nil }, nil, exitRefused, []string{"format", "start"}},
		{"an unknown command", missing, func(string) []string { return []string{"dance"} }, nil, exitRefused, []string{"dance"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := c.path(t)
			before := fingerprint(t, path)
			arguments := c.arguments(path)
			status, stdout, stderr := ended(t, c.environment, arguments...)
			checkRefusal(t, arguments, status, c.status, stdout, stderr, c.want)
			if fingerprint(t, path) != before {
				t.Errorf("%v: the data file was changed", arguments)
			}
		})
	}
}

func checkRefusal(t *testing.T, arguments []string, status, wantStatus int, stdout, stderr string, want []string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("%v: status %d, want %d", arguments, status, wantStatus)
	}
	if stdout != "" {
		t.Errorf("%v: stdout %q, want nothing", arguments, stdout)
	}
	// Warnings may come before the reason.
	reason := ""
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, "warning: ") {
			continue
		}
		if reason != "" {
			t.Errorf("%v: more than one line", arguments)
		}
		reason = line
	}
	for _, part := range want {
		if !strings.Contains(reason, part) {
			t.Errorf("%v: %q is not in the reason", arguments, part)
		}
	}
	if strings.Contains(stderr, "panic") || strings.Contains(stderr, "goroutine ") || t.Failed() {
		t.Errorf("%v: status %d: %s", arguments, status, stderr)
	}
}

// A port or a data file that somebody uses is refused, and both servers' files stay as they are.
func TestRefusalsBesideAServer(t *testing.T) {
	path, other := formatted(t), formatted(t)
	s := harness(t, path)
	before := fingerprint(t, other)
	for _, c := range []struct {
		name      string
		arguments []string
		want      []string
	}{
		{"data file in use", []string{"start", "--addresses=0", "--development", path}, []string{"another process"}},
		{"port in use", []string{"start", "--addresses=" + s.port, "--development", other}, []string{"listen on 127.0.0.1:" + s.port, "in use"}},
		{"format over it", []string{"format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", path},
			[]string{"exists already"}},
	} {
		status, stdout, stderr := ended(t, nil, c.arguments...)
		checkRefusal(t, c.arguments, status, exitRefused, stdout, stderr, c.want)
	}
	if fingerprint(t, other) != before {
		t.Error("a start on a port in use changed the data file")
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		t.Fatalf("the server is gone: %v", err)
	}
	conn.Close()
}

// blankFile is a beginning of a device that is zeros but for one byte.
type blankFile struct {
	ports.File
	usedAt int // -1: none
}

func (f blankFile) ReadAt(buffer []byte, offsetBytes uint64) error {
	clear(buffer)
	if f.usedAt >= 0 {
		buffer[f.usedAt] = 1
	}
	return nil
}

// Goal: a device is formatted only if its first MiB is blank: one byte anywhere in it, of a
// partition table, a file system or a data file, is enough to refuse.
func TestBlankDevice(t *testing.T) {
	scratch := make([]byte, 1<<20)
	for _, test := range []struct {
		usedAt int
		want   bool
	}{{-1, true}, {0, false}, {510, false}, {1080, false}, {64 << 10, false}, {len(scratch) - 1, false}} {
		if got, err := isBlank(blankFile{usedAt: test.usedAt}, scratch); got != test.want || err != nil {
			t.Errorf("used at %d: blank %v, %v, want %v", test.usedAt, got, err, test.want)
		}
	}
}
