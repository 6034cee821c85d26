package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ledger/internal/arena"
)

// The least of machine and control groups counts, whichever group on the way to the root it is.
func TestMemoryAvailable(t *testing.T) {
	cases := []struct {
		name   string
		files  map[string]string
		want   uint64
		source string
	}{
		{"machine", map[string]string{"proc/meminfo": "MemTotal:  1024 kB\n"}, 1 << 20, "the machine"},
		{"group", map[string]string{
			"proc/meminfo":                     "MemFree: 1 kB\nMemTotal:  1024 kB\n",
			"proc/self/cgroup":                 "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":     "max\n",
			"sys/fs/cgroup/a/memory.max":       "65536\n",
			"sys/fs/cgroup/unrelated/whatever": "1\n",
		}, 65536, "control group /a"},
		{"unlimited group", map[string]string{
			"proc/meminfo":             "MemTotal:  1024 kB\n",
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n",
		}, 1 << 20, "the machine"},
	}
	for _, c := range cases {
		root := t.TempDir()
		for path, content := range c.files {
			full := filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, source, err := MemoryAvailable(root)
		if err != nil || got != c.want || source != c.source {
			t.Errorf("%s: %d bytes of %q, error %v; want %d of %q", c.name, got, source, err, c.want, c.source)
		}
	}
}

// What does not fit is refused, with both numbers and the way out.
func TestCheckMemory(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/meminfo"), []byte("MemTotal: 204800 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	defer memory.Close()
	memory.Bytes(512<<20, 4096, "client slots") // reserved, hardly touched
	if err := checkMemory(MemoryNeededBytes(memory), root); err != nil {
		t.Errorf("176 MiB of 200: %v", err)
	}
	memory.Bytes(100<<20, 4096, "page cache")
	err := checkMemory(MemoryNeededBytes(memory), root)
	if err == nil || !strings.Contains(err.Error(), "276 MiB") || !strings.Contains(err.Error(), "200 MiB") ||
		!strings.Contains(err.Error(), "--cache-grid") {
		t.Errorf("276 MiB of 200: error %v", err)
	}
}
