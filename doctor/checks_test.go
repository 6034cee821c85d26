package doctor

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/config"
	"ledger/probe"
)

func TestKernel(t *testing.T) {
	const file = "proc/sys/kernel/osrelease"
	diagnosed(t, "kernel",
		illness{"old", func(p *patient) { p.write(file, "5.15.0-91-generic") }, Warning, "lacks parts of io_uring"},
		illness{"a little old", func(p *patient) { p.write(file, "6.0.19") }, Warning, "6.0.19"},
		illness{"candidate", func(p *patient) { p.write(file, "7.0-rc1") }, OK, "7.0-rc1"},
		illness{"odd", func(p *patient) { p.write(file, "x.y.z") }, Warning, "none that is known"},
		illness{"no proc", func(p *patient) { p.remove(file) }, Warning, "unknown"})
}

func TestUring(t *testing.T) {
	broken := func(p *patient) { p.Uring = func() error { return errBroken } }
	diagnosed(t, "io_uring",
		illness{"refused", broken, Warning, "it is broken: the server uses plain system calls"},
		illness{"disabled", func(p *patient) {
			broken(p)
			p.write("proc/sys/kernel/io_uring_disabled", "2")
		}, Warning, "kernel.io_uring_disabled is 2"})
}

func TestSeccomp(t *testing.T) {
	filtered := func(p *patient) { p.write("proc/self/status", "Seccomp:\t2\n") }
	diagnosed(t, "seccomp",
		illness{"allowing", filtered, OK, "io_uring works"},
		illness{"refusing", func(p *patient) {
			filtered(p)
			p.Uring = func() error { return errBroken }
		}, Warning, "io_uring does not work"},
		illness{"no proc", func(p *patient) { p.remove("proc/self/status") }, Warning, "unknown"})
}

func TestMemlock(t *testing.T) {
	limited := func(p *patient) {
		p.Limit = func(int) (unix.Rlimit, error) { return unix.Rlimit{Cur: 8 << 20, Max: 8 << 20}, nil }
	}
	diagnosed(t, "memlock",
		illness{"too little", limited, Warning, "8 MiB of memory can be locked"},
		illness{"capability", func(p *patient) {
			limited(p)
			p.write("proc/self/status", "CapEff:\t0000000000004000\n")
		}, OK, "CAP_IPC_LOCK"},
		illness{"enough", func(p *patient) {
			p.Limit = func(int) (unix.Rlimit, error) { return unix.Rlimit{Cur: 32 << 30, Max: 32 << 30}, nil }
		}, OK, "32 GiB"},
		illness{"unknown", func(p *patient) { p.Limit = func(int) (unix.Rlimit, error) { return unix.Rlimit{}, errBroken } }, Warning, "unknown"})
}

func TestOpenFiles(t *testing.T) {
	diagnosed(t, "open_files",
		illness{"too few", func(p *patient) {
			p.Limit = func(int) (unix.Rlimit, error) { return unix.Rlimit{Cur: 64, Max: 64}, nil }
		},
			Failure, "at most 64 files"},
		illness{"unknown", func(p *patient) { p.Limit = func(int) (unix.Rlimit, error) { return unix.Rlimit{}, errBroken } }, Warning, "unknown"})
}

func TestHugePages(t *testing.T) {
	const file = "sys/kernel/mm/transparent_hugepage/enabled"
	diagnosed(t, "huge_pages",
		illness{"off", func(p *patient) { p.write(file, "always madvise [never]") }, Warning, "switched off"},
		illness{"none", func(p *patient) { p.remove(file) }, Warning, "no transparent huge pages"})
}

func TestMemory(t *testing.T) {
	diagnosed(t, "memory",
		illness{"small machine", func(p *patient) { p.write("proc/meminfo", "MemTotal: 1048576 kB\n") }, Failure, "the machine allows 1024 MiB"},
		illness{"control group", func(p *patient) { p.write("sys/fs/cgroup/ledger/memory.max", "536870912") }, Failure, "512 MiB"},
		illness{"control group, version 1", func(p *patient) {
			p.write("proc/self/cgroup", "4:memory:/box\n")
			p.write("proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
			p.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "268435456")
		}, Failure, "256 MiB"},
		illness{"others use it", func(p *patient) {
			p.write("proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 1048576 kB\n")
			p.Subject.Addresses = nil
		}, Warning, "other programs leave 1024 MiB"},
		illness{"the server uses it", func(p *patient) { p.write("proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 1048576 kB\n") },
			OK, "64 GiB"},
		illness{"no proc", func(p *patient) { p.remove("proc/meminfo") }, Warning, "unknown"})
}

func TestControlGroup(t *testing.T) {
	diagnosed(t, "control_group",
		illness{"quota", func(p *patient) { p.write("sys/fs/cgroup/ledger/cpu.max", "50000 100000") }, Warning, "cpu.max allows 0.5 cores"},
		illness{"quota of the group above", func(p *patient) { p.write("sys/fs/cgroup/cpu.max", "150000 100000") }, Warning, "1.5 cores"},
		illness{"large quota", func(p *patient) { p.write("sys/fs/cgroup/ledger/cpu.max", "800000 100000") }, OK, "8.0 cores"},
		illness{"version 1", func(p *patient) {
			p.write("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n")
			p.write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "100000")
			p.write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000")
		}, Warning, "version 1; memory is limited by the machine; /sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us allows 1.0 cores"},
		illness{"none", func(p *patient) { p.remove("proc/self/cgroup") }, OK, "no control group"})
}

func TestClock(t *testing.T) {
	clock := func(c Clock, err error) func(p *patient) {
		return func(p *patient) { p.Clock = func() (Clock, error) { return c, err } }
	}
	diagnosed(t, "clock",
		illness{"free", clock(Clock{}, nil), Warning, "not synchronised"},
		illness{"wrong", clock(Clock{IsSynchronised: true, ErrorMax: time.Second}, nil), Warning, "wrong by 1s"},
		illness{"refused", clock(Clock{}, unix.EPERM), Warning, "unknown"},
		illness{"slow source", func(p *patient) {
			p.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet")
		}, Warning, "the clock source is hpet"})
}

func TestFileSystem(t *testing.T) {
	kind := func(name string) func(p *patient) {
		return func(p *patient) { p.stores(func(s *Storage) { s.Name = name }) }
	}
	diagnosed(t, "file_system",
		illness{"memory", kind("tmpfs"), Failure, "lost when the machine stops"},
		illness{"network", kind("nfs"), Warning, "nfs"},
		illness{"copy on write", kind("btrfs"), Warning, "copies on write"},
		illness{"unknown", kind("number 0x1234"), Warning, "number 0x1234"},
		illness{"no folder", noFolder, Failure, "no such file"})
}

// noFolder lets the folder of the data file be missing.
func noFolder(p *patient) {
	p.Storage = func(string) (Storage, error) { return Storage{}, unix.ENOENT }
	p.Time = func(string, int, int) (Timing, error) { return Timing{}, unix.ENOENT }
}

func TestDirectIO(t *testing.T) {
	diagnosed(t, "direct_io",
		illness{"none", func(p *patient) { p.stores(func(s *Storage) { s.Direct = errBroken }) }, Failure, "does not work: it is broken"},
		illness{"no folder", noFolder, Failure, "no such file"})
}

func TestFreeSpace(t *testing.T) {
	diagnosed(t, "free_space",
		illness{"nearly full", func(p *patient) { p.stores(func(s *Storage) { s.FreeBytes = 20 << 30 }) }, Warning, "20 GiB free of 1.0 TiB"},
		illness{"no room for a new file", func(p *patient) {
			p.stores(func(s *Storage) { s.FreeBytes = 500 << 20 })
			p.looks(func(f *File) { *f = File{} })
		}, Failure, "a new data file takes 1041 MiB"},
		illness{"no folder", noFolder, Failure, "no such file"})
}

// slowWrites lets durable writes of a size take their time.
func slowWrites(slowBytes int, median time.Duration) func(p *patient) {
	return func(p *patient) {
		p.Time = func(_ string, writeBytes, count int) (Timing, error) {
			if writeBytes == slowBytes {
				return Timing{Median: median, Longest: 2 * median, Count: count}, nil
			}
			return Timing{}, nil
		}
	}
}

func TestWriteSmall(t *testing.T) {
	diagnosed(t, "write_4k",
		illness{"slow", slowWrites(4<<10, 12*time.Millisecond), Warning, "take 12ms, the longest of 64 24ms"},
		illness{"not so slow", slowWrites(4<<10, time.Millisecond), OK, "take 1ms"},
		illness{"refused", noFolder, Failure, "no such file"})
}

func TestWriteLarge(t *testing.T) {
	diagnosed(t, "write_1m",
		illness{"slow", slowWrites(1<<20, 80*time.Millisecond), Warning, "take 80ms, the longest of 16 160ms"},
		illness{"not so slow", slowWrites(1<<20, 12*time.Millisecond), OK, "take 12ms"},
		illness{"refused", noFolder, Failure, "no such file"})
}

func TestFileFormat(t *testing.T) {
	diagnosed(t, "file_format",
		illness{"missing", func(p *patient) { p.looks(func(f *File) { *f = File{} }) }, Failure, "does not exist"},
		illness{"a folder", func(p *patient) { p.looks(func(f *File) { f.Kind = "a directory" }) }, Failure, "is a directory"},
		illness{"unreadable", func(p *patient) { p.looks(func(f *File) { f.Unread = unix.EACCES }) }, Failure, "permission denied"},
		illness{"foreign", func(p *patient) { p.looks(func(f *File) { f.Foreign = errBroken }) }, Failure, "it is broken"},
		illness{"something else", func(p *patient) { p.looks(func(f *File) { f.IsOurs = false }) }, Failure, "no superblock"},
		illness{"cannot be looked at", func(p *patient) { p.Probes.File = func(string) (File, error) { return File{}, unix.EACCES } },
			Failure, "permission"})
}

func TestFilePermissions(t *testing.T) {
	diagnosed(t, "file_permissions",
		illness{"of others", func(p *patient) { p.looks(func(f *File) { f.Mode = 0o644 }) }, Warning, "mode 0644"},
		illness{"not ours", func(p *patient) { p.looks(func(f *File) { f.MayUse = unix.EACCES }) }, Failure, "cannot be read and written"})
}

func TestFileOwner(t *testing.T) {
	diagnosed(t, "file_owner",
		illness{"another", func(p *patient) { p.looks(func(f *File) { f.Owner = 0 }) }, Warning, "belongs to user 0, and this is user 1000"})
}

func TestFileLock(t *testing.T) {
	locked := func(p *patient) { p.looks(func(f *File) { f.IsLocked, f.LockedBy = true, 4711 }) }
	diagnosed(t, "file_lock",
		illness{"by a server", locked, OK, "process 4711 serves"},
		illness{"by something else", func(p *patient) {
			locked(p)
			p.pings(nobody)
		}, Failure, "process 4711 has /data/0.data open, and no server answers"})
}

func TestClusterKey(t *testing.T) {
	diagnosed(t, "cluster_key",
		illness{"refused", func(p *patient) {
			p.Keys = func(config.Setting) ([][config.ClusterKeyBytes]byte, error) { return nil, errBroken }
		}, Failure, "it is broken"},
		illness{"two", func(p *patient) {
			p.Keys = func(config.Setting) ([][config.ClusterKeyBytes]byte, error) {
				return [][config.ClusterKeyBytes]byte{{1}, {2}}, nil
			}
		}, OK, ", and while one replaces the other "},
		illness{"none", func(p *patient) { p.Subject.KeyFile = config.Setting{} }, Skipped, "no --cluster-key-file was named"})
}

func TestNames(t *testing.T) {
	diagnosed(t, "names",
		illness{"unknown", func(p *patient) {
			p.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errBroken }
		}, Failure, "b.example: it is broken"},
		illness{"empty", func(p *patient) {
			p.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}, Failure, "the name has no address"},
		illness{"numbers", func(p *patient) { p.Subject.Addresses[1].Host = "10.0.0.2" }, OK, "all addresses are numbers"})
}

// Goal: a slow name server is a warning. The clock of the check is the machine's, so the answer
// waits until the limit is passed.
func TestNamesSlow(t *testing.T) {
	p := healthy(t)
	p.Subject.Timeout = 2 * slowLookup
	p.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		for began := time.Now(); time.Since(began) <= slowLookup; {
			time.Sleep(10 * time.Millisecond)
		}
		return []netip.Addr{netip.MustParseAddr("10.0.0.2")}, nil
	}
	if got := p.examined()["names"]; got.State != Warning || got.Remedy == "" {
		t.Errorf("%+v", got)
	}
}

func TestPorts(t *testing.T) {
	listen := func(err error) func(p *patient) {
		return func(p *patient) { p.Listen = func(netip.AddrPort) error { return err } }
	}
	diagnosed(t, "ports",
		illness{"free", listen(nil), OK, "is free"},
		illness{"ours", listen(unix.EADDRINUSE), OK, "has a server"},
		illness{"taken", func(p *patient) {
			listen(unix.EADDRINUSE)(p)
			p.pings(func(r *probe.Report) { r.Replicas[0].State = probe.StateForeign })
		}, Failure, "is in use by a program that does not answer"},
		illness{"forbidden", listen(unix.EACCES), Failure, "may not listen"},
		illness{"odd", listen(unix.EINVAL), Failure, "invalid argument"})
}

// nobody answers.
func nobody(r *probe.Report) {
	r.Verdict, r.Text, r.Remedy = probe.VerdictNobodyListens, "no server listens", "start the servers"
	for i := range r.Replicas {
		r.Replicas[i].State, r.Replicas[i].IsPrimary = probe.StateRefused, false
	}
}

func TestReachable(t *testing.T) {
	diagnosed(t, "reachable",
		illness{"nobody", func(p *patient) { p.pings(nobody) }, Failure, "no server listens"},
		illness{"silent", func(p *patient) {
			p.pings(func(r *probe.Report) {
				nobody(r)
				r.Verdict, r.Text = probe.VerdictSilent, "does not answer"
			})
		}, Failure, "does not answer"})
}

func TestCluster(t *testing.T) {
	diagnosed(t, "cluster",
		illness{"another", func(p *patient) { p.pings(func(r *probe.Report) { r.Replicas[1].State = probe.StateOtherCluster }) },
			Failure, "not cluster 7: b.example:2 serves another cluster"},
		illness{"nobody", func(p *patient) { p.pings(nobody) }, Skipped, "no server answers"})
}

func TestRelease(t *testing.T) {
	diagnosed(t, "release",
		illness{"not served", func(p *patient) {
			p.pings(func(r *probe.Report) {
				nobody(r)
				r.Verdict, r.Text, r.Replicas[0].State = probe.VerdictRelease, "clients of release 0.17.9 are not served", probe.StateEvicted
			})
		}, Failure, "are not served"},
		illness{"several", func(p *patient) { p.pings(func(r *probe.Report) { r.Replicas[1].Release = "0.17.8" }) }, Warning, "0.17.9, 0.17.8"},
		illness{"older ones only", func(p *patient) { p.pings(func(r *probe.Report) { r.Replicas[1].Client = "0.17.8" }) }, Warning,
			"b.example:2 evicts clients of 0.17.9 and serves those of 0.17.8"},
		illness{"nobody", func(p *patient) { p.pings(nobody) }, Skipped, "no server answers"})
}

func TestPrimary(t *testing.T) {
	diagnosed(t, "primary",
		illness{"none", func(p *patient) {
			p.pings(func(r *probe.Report) {
				r.Verdict, r.Text, r.Remedy = probe.VerdictNoQuorum, "2 of 2 replicas answer, and none takes requests", "wait"
			})
		}, Failure, "none takes requests"},
		illness{"nobody", func(p *patient) { p.pings(nobody) }, Skipped, "no server answers"})
}

func TestReplicas(t *testing.T) {
	diagnosed(t, "replicas",
		illness{"one is gone", func(p *patient) { p.pings(func(r *probe.Report) { r.Replicas[1].State = probe.StateRefused }) },
			Warning, "b.example:2: nobody listens"},
		illness{"another order", func(p *patient) { p.pings(func(r *probe.Report) { r.Replicas[1].Replica = 5 }) }, Warning, "replica 5"},
		illness{"one recovers", func(p *patient) { p.says(func(s *admin.Status) { s.Role = "recovering" }) }, Warning, "is in state recovering"},
		illness{"nobody", func(p *patient) { p.pings(nobody) }, Skipped, "no server answers"})
}

func TestMetrics(t *testing.T) {
	diagnosed(t, "metrics",
		illness{"nobody", func(p *patient) {
			p.Status = func(context.Context, config.Address) (*admin.Status, error) { return nil, errBroken }
		}, Failure, "it is broken"},
		illness{"not ready", func(p *patient) { p.says(func(s *admin.Status) { s.IsReady = false }) }, Failure, "serves clients: false"},
		illness{"stuck", func(p *patient) { p.says(func(s *admin.Status) { s.StaleFor = 2 }) }, Failure, "2 threads do not answer"},
		illness{"not named", func(p *patient) { p.Subject.Metrics = nil }, Skipped, "--metrics"})
}

func TestBatchLimit(t *testing.T) {
	diagnosed(t, "batch_limit",
		illness{"development", func(p *patient) { p.says(func(s *admin.Status) { s.Limits.RequestBytes = 32 << 10 }) }, Warning, "32 KiB"},
		illness{"two limits", func(p *patient) {
			p.Subject.Metrics = append(p.Subject.Metrics, config.Address{Host: "10.0.0.2", Port: 9})
			before := p.Status
			p.Status = func(ctx context.Context, a config.Address) (*admin.Status, error) {
				s, err := before(ctx, a)
				if a.Host == "10.0.0.2" {
					s.Limits.RequestBytes = 32 << 10
				}
				return s, err
			}
		}, Failure, "requests of 1 MiB and of 32 KiB"},
		illness{"not named", func(p *patient) { p.Subject.Metrics = nil }, Skipped, "--metrics"})
}

func TestSessions(t *testing.T) {
	diagnosed(t, "sessions",
		illness{"all", func(p *patient) { p.says(func(s *admin.Status) { s.Sessions = 64 }) }, Failure, "all 64 sessions are taken"},
		illness{"most", func(p *patient) { p.says(func(s *admin.Status) { s.Sessions = 60 }) }, Warning, "60 of 64"},
		illness{"not named", func(p *patient) { p.Subject.Metrics = nil }, Skipped, "--metrics"})
}
