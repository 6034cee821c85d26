package replica

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryAvailable is the smallest of the machine's memory and the limits of the process's control
// groups. root is "/" except in tests.
//
// source: the machine, or the control group and the file with its limit.
// error: the machine's memory is unknown. A control group that cannot be read counts as unlimited.
func MemoryAvailable(root string) (availableBytes uint64, source string, err error) {
	availableBytes, err = memoryOfMachine(root)
	if err != nil {
		return 0, "", err
	}
	source = "the machine"
	for _, group := range memoryGroups(root) {
		if limit, name, ok := group.limit(root); ok && limit < availableBytes {
			availableBytes, source = limit, name
		}
	}
	return availableBytes, source, nil
}

func memoryOfMachine(root string) (totalBytes uint64, err error) {
	path := filepath.Join(root, "proc/meminfo")
	meminfo, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading how much memory the machine has: %w", err)
	}
	for line := range bytes.Lines(meminfo) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		kibibytes, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			return 0, fmt.Errorf("reading MemTotal of %s: %w", path, err)
		}
		return kibibytes << 10, nil
	}
	return 0, fmt.Errorf("%s names no MemTotal", path)
}

// memoryGroup is the control group of the process in one hierarchy. This group, and all groups
// above it that the process can see, limit the process.
type memoryGroup struct {
	mount string // where the hierarchy is mounted
	path  string // of the group, below the mount
	file  string // that holds the limit of a group
}

// The files of a group that limit memory, by version. In version 1, a group may not apply to its
// children; then hierarchyFile contains 0.
const (
	limitFile1    = "memory.limit_in_bytes"
	limitFile2    = "memory.max"
	hierarchyFile = "memory.use_hierarchy"
)

// memoryGroups finds the hierarchies that limit memory: in version 1 the one with the memory
// controller, in version 2 the only one. Both may be mounted, but the controller is in one of them.
//
// A line of /proc/self/cgroup has the path of the process's group in a hierarchy. A mount may show
// only a part of the hierarchy, as usual in containers. Then the path below the mount is that of
// the group without the mount's root. If the group is outside of this part, it is not visible, and
// the mount itself is the nearest visible group.
func memoryGroups(root string) (groups []memoryGroup) {
	memberships, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil // a kernel without control groups
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(memberships) {
		// 4:memory:/path in version 1, 0::/path in version 2. A path may contain colons.
		fields := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		kind, file := "cgroup2", limitFile2
		if fields[0] != "0" || fields[1] != "" {
			if !hasField(fields[1], "memory") {
				continue
			}
			kind, file = "cgroup", limitFile1
		}
		for mountLine := range bytes.Lines(mounts) {
			if mountRoot, mount, ok := groupMount(string(mountLine), kind); ok {
				groups = append(groups, memoryGroup{mount, below(mountRoot, fields[2]), file})
			}
		}
	}
	return groups
}

// groupMount reads a line of mountinfo, as in
//
//	35 31 0:32 /root /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
//
// It tells whether a hierarchy of this kind is mounted there; of version 1, the one with the memory
// controller.
func groupMount(line, kind string) (root, mount string, ok bool) {
	front, back, found := strings.Cut(line, " - ")
	fields, types := strings.Fields(front), strings.Fields(back)
	if !found || len(fields) < 5 || len(types) < 3 || types[0] != kind {
		return "", "", false
	}
	if kind == "cgroup" && !hasField(types[2], "memory") {
		return "", "", false
	}
	return unescape(fields[3]), unescape(fields[4]), true
}

// hasField tells whether a comma separated list contains field.
func hasField(list, field string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == field {
			return true
		}
	}
	return false
}

// unescape reverts the kernel's escapes for blanks and backslashes in a path: \040 and \134.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// below is the path of a group without the root of its mount. It is "/" for a group that the mount
// does not show.
func below(root, path string) string {
	if root == "/" {
		return filepath.Join("/", path) // this cleans a path like /.. of another namespace
	}
	if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join("/", rest)
	}
	return "/"
}

// limit is the smallest limit of the group and those above it, up to the mount. ok is false if none
// of them has a limit.
func (g *memoryGroup) limit(root string) (limitBytes uint64, source string, ok bool) {
	for path := g.path; ; path = filepath.Dir(path) {
		directory := filepath.Join(root, g.mount, path)
		inherits := path == g.path || g.file != limitFile1 || readWord(filepath.Join(directory, hierarchyFile)) != "0"
		// "max" is no number. Version 1 without a limit has a number near 2^63, which is more than
		// any machine has.
		limit, err := strconv.ParseUint(readWord(filepath.Join(directory, g.file)), 10, 64)
		if err == nil && inherits && (!ok || limit < limitBytes) {
			limitBytes, source, ok = limit, "control group "+path+" by "+g.file, true
		}
		if path == "/" {
			return limitBytes, source, ok
		}
	}
}

// readWord is the content of a small file without the newline. It is "" if the file cannot be read.
func readWord(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
