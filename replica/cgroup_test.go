package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeRoot is a directory with the files that say how much memory there is.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Lines of /proc/self/mountinfo, as kernels write them.
const (
	mountsOther = "23 1 254:0 / / rw,relatime - ext4 /dev/root rw\n24 23 0:22 / /proc rw - proc proc rw\nshort\n\n"
	mountsV2    = mountsOther + "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mountsV1    = mountsOther + "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:3 - cgroup cgroup rw,memory\n"
	mountsHybrid = mountsV1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	unlimitedV1  = "9223372036854771712\n" // what version 1 says without a limit
)

// The least of machine and control groups counts: of either version, of whichever group on the way
// up, however it is mounted.
func TestMemoryAvailable(t *testing.T) {
	cases := []struct {
		name           string
		cgroup, mounts string // /proc/self/cgroup and /proc/self/mountinfo; "" for none
		limits         map[string]string
		want           uint64
		source         string
	}{
		{"no control groups", "", "", nil, 1 << 20, "the machine"},
		{"no mountinfo", "0::/a\n", "", map[string]string{"sys/fs/cgroup/a/memory.max": "65536\n"}, 1 << 20, "the machine"},
		{"nothing mounted", "0::/a\n", mountsOther, map[string]string{"sys/fs/cgroup/a/memory.max": "65536\n"}, 1 << 20, "the machine"},
		{"more than the machine", "0::/a\n", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "1048577\n"}, 1 << 20, "the machine"},

		{"v2", "0::/a\n", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "65536\n"}, 65536, "control group /a by memory.max"},
		{"v2, max", "0::/a\n", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "max\n"}, 1 << 20, "the machine"},
		{"v2, the root group has no file", "0::/\n", mountsV2, map[string]string{"sys/fs/cgroup/other/memory.max": "1\n"},
			1 << 20, "the machine"},
		{"v2, a container's own root", "0::/\n", mountsV2, map[string]string{"sys/fs/cgroup/memory.max": "4096\n"},
			4096, "control group / by memory.max"},
		{"v2, the parent's is less", "0::/a/b/c\n", mountsV2, map[string]string{
			"sys/fs/cgroup/a/b/c/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.max": "524288\n", "sys/fs/cgroup/a/memory.max": "65536\n",
		}, 65536, "control group /a by memory.max"},
		{"v2, the child's is less", "0::/a/b\n", mountsV2, map[string]string{
			"sys/fs/cgroup/a/b/memory.max": "4096\n", "sys/fs/cgroup/a/memory.max": "65536\n",
		}, 4096, "control group /a/b by memory.max"},
		{"v2, a part of the hierarchy is mounted", "0::/pod/a/b\n",
			mountsOther + "30 23 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", map[string]string{
				"sys/fs/cgroup/a/memory.max": "65536\n", "sys/fs/cgroup/pod/a/memory.max": "1\n",
			}, 65536, "control group /a by memory.max"},
		{"v2, a group of another namespace", "0::/../../x\n", mountsV2, map[string]string{"sys/fs/cgroup/memory.max": "8192\n"},
			8192, "control group / by memory.max"},
		{"v2, mounted elsewhere, a blank in the path", "0::/a b:c\n",
			mountsOther + `30 23 0:26 / /mnt/control\040groups rw - cgroup2 none rw` + "\n",
			map[string]string{"mnt/control groups/a b:c/memory.max": "65536\n"}, 65536, "control group /a b:c by memory.max"},
		{"v2, no newline at the end", "0::/a", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "65536"},
			65536, "control group /a by memory.max"},
		{"v2, no number", "0::/a\n", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "-1\n"}, 1 << 20, "the machine"},
		{"v2, none at all", "0::/a\n", mountsV2, map[string]string{"sys/fs/cgroup/a/memory.max": "0\n"}, 0, "control group /a by memory.max"},

		{"v1", "5:cpu,cpuacct:/c\n4:memory:/a\n", mountsV1, map[string]string{
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "65536\n", "sys/fs/cgroup/cpu,cpuacct/c/memory.limit_in_bytes": "1\n",
		}, 65536, "control group /a by memory.limit_in_bytes"},
		{"v1, with others in one hierarchy", "4:cpu,memory:/a\n",
			mountsOther + "35 31 0:32 / /cg rw - cgroup none rw,cpu,memory\n",
			map[string]string{"cg/a/memory.limit_in_bytes": "65536\n"}, 65536, "control group /a by memory.limit_in_bytes"},
		{"v1, unlimited", "4:memory:/a\n", mountsV1, map[string]string{
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": unlimitedV1, "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1,
		}, 1 << 20, "the machine"},
		{"v1, the parent's is less", "4:memory:/a/b\n", mountsV1, map[string]string{
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": unlimitedV1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "65536\n",
			"sys/fs/cgroup/memory/a/memory.use_hierarchy": "1\n",
		}, 65536, "control group /a by memory.limit_in_bytes"},
		{"v1, a parent that leaves its children alone", "4:memory:/a/b\n", mountsV1, map[string]string{
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "131072\n", "sys/fs/cgroup/memory/a/b/memory.use_hierarchy": "0\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "65536\n", "sys/fs/cgroup/memory/a/memory.use_hierarchy": "0\n",
		}, 131072, "control group /a/b by memory.limit_in_bytes"},
		{"v1, in a container that sees its own group only", "4:memory:/docker/f00\n",
			mountsOther + "35 31 0:32 /docker/f00 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "65536\n"}, 65536, "control group / by memory.limit_in_bytes"},
		{"v1, a name that begins like the mount's root", "4:memory:/docker/f00ter\n",
			mountsOther + "35 31 0:32 /docker/f00 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			map[string]string{"sys/fs/cgroup/memory/ter/memory.limit_in_bytes": "1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "65536\n"},
			65536, "control group / by memory.limit_in_bytes"},

		{"hybrid, the controller is in v1", "4:memory:/a\n1:name=systemd:/s\n0::/u\n", mountsHybrid, map[string]string{
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "65536\n", "sys/fs/cgroup/unified/u/cgroup.procs": "1\n",
		}, 65536, "control group /a by memory.limit_in_bytes"},
		{"hybrid, the controller is in v2", "3:cpu,cpuacct:/c\n0::/u/v\n", mountsHybrid, map[string]string{
			"sys/fs/cgroup/unified/u/v/memory.max": "max\n", "sys/fs/cgroup/unified/u/memory.max": "65536\n",
		}, 65536, "control group /u by memory.max"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"proc/meminfo": "MemFree: 1 kB\nMemTotal:  1024 kB\n"}
			for path, content := range map[string]string{"proc/self/cgroup": c.cgroup, "proc/self/mountinfo": c.mounts} {
				if content != "" {
					files[path] = content
				}
			}
			for path, content := range c.limits {
				files[path] = content
			}
			got, source, err := MemoryAvailable(fakeRoot(t, files))
			if err != nil || got != c.want || source != c.source {
				t.Errorf("%d bytes by %q, error %v; want %d by %q", got, source, err, c.want, c.source)
			}
		})
	}
}

// Goal: a machine that does not say how much memory it has is an error with the file's name, for
// any limits of its control groups.
func TestMemoryUnknown(t *testing.T) {
	for name, meminfo := range map[string]string{
		"empty": "", "no total": "MemFree: 7 kB\n", "no number": "MemTotal: much kB\n", "too large": "MemTotal: 99999999999999999 kB\n",
	} {
		root := fakeRoot(t, map[string]string{"proc/meminfo": meminfo})
		if _, _, err := MemoryAvailable(root); err == nil || !strings.Contains(err.Error(), "MemTotal") || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: error %v, want one that names MemTotal and the file", name, err)
		}
	}
	if _, _, err := MemoryAvailable(t.TempDir()); err == nil {
		t.Error("no meminfo: no error")
	}
}
