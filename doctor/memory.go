package doctor

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/limits"
	"ledger/replica"
)

// memoryBeside is about what a server with default settings uses beside its caches: memtables,
// indexes of a new file, buffers, slots and the program.
const memoryBeside = 850 << 20

// caches of a server with default settings.
func caches() uint64 {
	l := limits.Production()
	return l.CacheGridBytes + 2*config.CacheAccountsBytes(&l) // accounts, and as many pending transfers
}

// capIPCLock is the number of CAP_IPC_LOCK, which lifts the limit on locked memory.
const capIPCLock = 14

func (e *examination) memlock() Result {
	const remedy = "raise it: ulimit -l, or LimitMEMLOCK=infinity of the systemd unit; or grant CAP_IPC_LOCK"
	if capabilities, err := strconv.ParseUint(e.field("proc/self/status", "CapEff"), 16, 64); err == nil && capabilities>>capIPCLock&1 == 1 {
		return ok("this user may lock memory without a limit (CAP_IPC_LOCK)")
	}
	limit, err := e.probes.Limit(unix.RLIMIT_MEMLOCK)
	switch {
	case err != nil:
		return warning(remedy, "the limit on locked memory is unknown: %v", err)
	case limit.Cur < caches():
		return warning(remedy, "%s of memory can be locked, and the caches are %s: pages of them can be swapped out",
			size(limit.Cur), size(caches()))
	case limit.Cur == unix.RLIM_INFINITY:
		return ok("memory can be locked without a limit")
	}
	return ok("%s of memory can be locked", size(limit.Cur))
}

func (e *examination) hugePages() Result {
	const remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
	text := e.read("sys/kernel/mm/transparent_hugepage/enabled")
	_, rest, _ := strings.Cut(text, "[")
	chosen, _, found := strings.Cut(rest, "]")
	switch {
	case text == "" || !found:
		return warning("use a kernel with transparent huge pages", "there are no transparent huge pages: large tables take longer to reach")
	case chosen == "never":
		return warning(remedy, "transparent huge pages are switched off: large tables take longer to reach")
	}
	return ok("transparent huge pages: %s", chosen)
}

func (e *examination) memory() Result {
	expected := caches() + memoryBeside
	const remedy = "lower --cache-grid or --cache-accounts, or raise the limit; for development, --development"
	available, source, err := replica.MemoryAvailable(e.probes.Root)
	if err != nil {
		return warning("mount /proc", "the memory of the machine is unknown: %v", err)
	}
	if available < expected {
		return failure(remedy, "%s allows %s, and a server with default settings is expected to use %s", source, size(available),
			size(expected))
	}
	kibibytes, err := strconv.ParseUint(strings.TrimSuffix(e.field("proc/meminfo", "MemAvailable"), " kB"), 10, 54)
	if free := kibibytes << 10; err == nil && free < expected && e.isUnserved() {
		return warning("stop what uses the memory, or lower --cache-grid", "%s allows %s, of which other programs leave %s; a server with "+
			"default settings is expected to use %s", source, size(available), size(free), size(expected))
	}
	return ok("%s allows %s; a server with default settings is expected to use %s", source, size(available), size(expected))
}

// isUnserved: no server of the subject runs, as far as is known. One that runs has its memory
// already.
func (e *examination) isUnserved() bool { return e.report == nil || !anyAnswers(e.report) }

// controlGroup looks for a limit on processor time: memory's is that of the check before.
func (e *examination) controlGroup() Result {
	version, path := 0, ""
	for line := range strings.Lines(e.read("proc/self/cgroup")) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[0] == "0" && fields[1] == "" && version == 0:
			version, path = 2, fields[2]
		case hasName(fields[1], "cpu"):
			version, path = 1, fields[2]
		}
	}
	if version == 0 {
		return ok("no control group limits this process")
	}
	cores, source := e.quota(version, path)
	_, memorySource, _ := replica.MemoryAvailable(e.probes.Root)
	text := fmt.Sprintf("version %d; memory is limited by %s", version, memorySource)
	if cores > 0 && cores < coresLeast {
		return warning("raise the quota to two cores or more (CPUQuota= of the systemd unit, --cpus of the container)",
			"%s; %s allows %.1f cores: the kernel stops all threads when they are used up, for up to 0.1 s", text, source, cores)
	}
	if cores > 0 {
		return ok("%s; %s allows %.1f cores", text, source, cores)
	}
	return ok("%s; processor time is not limited", text)
}

// coresLeast is the quota below which stages are stopped in the middle of a request.
const coresLeast = 2

// quota is the smallest number of cores that the group, or one above it, allows. It is 0 if there
// is no limit.
func (e *examination) quota(version int, path string) (cores float64, source string) {
	mounts := []string{"sys/fs/cgroup"}
	if version == 1 {
		mounts = []string{"sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpu"}
	}
	for _, mount := range mounts {
		for at := filepath.Join("/", path); ; at = filepath.Dir(at) {
			file, quota, period := filepath.Join(mount, at, "cpu.max"), "", ""
			if version == 2 {
				if fields := strings.Fields(e.read(file)); len(fields) == 2 {
					quota, period = fields[0], fields[1]
				}
			} else {
				file = filepath.Join(mount, at, "cpu.cfs_quota_us")
				quota, period = e.read(file), e.read(filepath.Join(mount, at, "cpu.cfs_period_us"))
			}
			q, err1 := strconv.ParseFloat(quota, 64)
			p, err2 := strconv.ParseFloat(period, 64)
			if err1 == nil && err2 == nil && q > 0 && p > 0 && (cores == 0 || q/p < cores) {
				cores, source = q/p, "/"+file
			}
			if at == "/" {
				break
			}
		}
	}
	return cores, source
}

// hasName tells whether a comma separated list contains name.
func hasName(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == name {
			return true
		}
	}
	return false
}

// size in words, for people.
func size(bytes uint64) string {
	switch {
	case bytes >= 1<<40:
		return fmt.Sprintf("%.1f TiB", float64(bytes)/(1<<40))
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
