package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kernels since which io_uring has all that the server asks for: DEFER_TASKRUN is of 6.1.
const kernelMajor, kernelMinor = 6, 1

// read a file of proc or sys, "" if there is none.
func (e *examination) read(path string) string {
	content, err := os.ReadFile(filepath.Join(e.probes.Root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// field of a file with lines like "Name: value", "" if there is none.
func (e *examination) field(path, name string) string {
	for line := range strings.Lines(e.read(path)) {
		if key, value, found := strings.Cut(line, ":"); found && key == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (e *examination) kernel() Result {
	release := e.read("proc/sys/kernel/osrelease")
	numbers := strings.SplitN(release, ".", 3)
	if len(numbers) < 2 {
		return warning("mount /proc", "the release of the kernel is unknown")
	}
	major, err1 := strconv.Atoi(numbers[0])
	digits := strings.IndexFunc(numbers[1], func(c rune) bool { return c < '0' || c > '9' })
	if digits < 0 {
		digits = len(numbers[1])
	}
	minor, err2 := strconv.Atoi(numbers[1][:digits])
	switch {
	case err1 != nil || err2 != nil:
		return warning(fmt.Sprintf("use Linux %d.%d or later", kernelMajor, kernelMinor), "Linux %s is none that is known", release)
	case major < kernelMajor || major == kernelMajor && minor < kernelMinor:
		return warning(fmt.Sprintf("use Linux %d.%d or later", kernelMajor, kernelMinor),
			"Linux %s lacks parts of io_uring: the server uses plain system calls, which are slower", release)
	}
	return ok("Linux %s", release)
}

func (e *examination) uring() Result {
	err := e.probes.Uring()
	disabled := e.read("proc/sys/kernel/io_uring_disabled")
	switch {
	case err == nil:
		return ok("all of its calls and operations that the server uses are there")
	case disabled != "" && disabled != "0":
		return warning("sysctl kernel.io_uring_disabled=0, or --io=posix to silence the warning of each start",
			"kernel.io_uring_disabled is %s: the server uses plain system calls, which are slower", disabled)
	}
	return warning("allow io_uring_setup, io_uring_enter and io_uring_register (packaging/seccomp.json does), or use --io=posix",
		"%v: the server uses plain system calls, which are slower", err)
}

func (e *examination) seccomp() Result {
	switch mode := e.field("proc/self/status", "Seccomp"); {
	case mode == "":
		return warning("mount /proc", "whether a filter of system calls is in force is unknown")
	case mode == "0":
		return ok("no filter of system calls is in force here")
	case e.probes.Uring() != nil:
		return warning("run with the profile packaging/seccomp.json, which allows all that a server calls",
			"a filter of system calls is in force here, and io_uring does not work")
	}
	return ok("a filter of system calls is in force here, and io_uring works")
}

func (e *examination) openFiles() Result {
	limit, err := e.probes.Limit(unix.RLIMIT_NOFILE)
	const remedy = "raise the hard limit: ulimit -Hn, or LimitNOFILE= of the systemd unit"
	switch {
	case err != nil:
		return warning(remedy, "the limit on open files is unknown: %v", err)
	case limit.Max < descriptorsUsual:
		return failure(remedy, "at most %d files can be open, and a server of 64 sessions needs about %d", limit.Max, descriptorsUsual)
	}
	return ok("up to %d files can be open", limit.Max)
}

// descriptorsUsual is what docs/operations.md says of a server with 64 sessions.
const descriptorsUsual = 200

// clockSources that are read without a system call.
var clockSources = []string{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"}

// Clock is what the kernel says of its wall clock.
type Clock struct {
	IsSynchronised bool
	ErrorMax       time.Duration // estimated by whoever disciplines it
}

// clockErrorMax is the error from which on a clock counts as bad.
const clockErrorMax = 100 * time.Millisecond

func (e *examination) clock() Result {
	c, err := e.probes.Clock()
	const remedy = "run chrony or systemd-timesyncd, and look at chronyc tracking or timedatectl"
	source := e.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
	isFast := source == ""
	for _, fast := range clockSources {
		isFast = isFast || source == fast
	}
	switch {
	case err != nil:
		return warning(remedy, "whether the clock is synchronised is unknown: %v", err)
	case !c.IsSynchronised:
		return warning(remedy, "the clock is not synchronised: timestamps and timeouts of pending transfers follow it")
	case c.ErrorMax > clockErrorMax:
		return warning(remedy, "the clock may be wrong by %s", c.ErrorMax.Round(time.Millisecond))
	case !isFast:
		return warning("choose another with the kernel's parameter clocksource=, or ask the provider of the virtual machine",
			"the clock source is %s: each reading of the clock is a system call or an access to a device", source)
	}
	return ok("synchronised, wrong by at most %s", c.ErrorMax.Round(time.Millisecond))
}
