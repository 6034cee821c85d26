package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/uring"
	"ledger/limits"
	"ledger/probe"
	"ledger/storage/datafile"
)

// Machine asks this machine. Status is the caller's, who knows how to reach a metrics endpoint.
func Machine() Probes {
	return Probes{
		Root: "/", Uring: tryUring, Clock: readClock, Storage: storageOf, Time: timeWrites, File: lookAtFile, Ping: probe.Run,
		Keys: config.LoadClusterKeys, Listen: tryListen, UserID: os.Geteuid,
		Limit: func(resource int) (limit unix.Rlimit, err error) {
			err = unix.Getrlimit(resource, &limit)
			return limit, err
		},
		Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
}

// tryUring makes and closes a thread's ring, which checks each call and operation.
func tryUring() error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(wake)
	thread, err := uring.NewThread(ports.ThreadOptions{WakeFd: wake})
	if err != nil {
		return err
	}
	thread.Close()
	return nil
}

func readClock() (c Clock, err error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return c, err
	}
	c.IsSynchronised = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	c.ErrorMax = time.Duration(t.Maxerror) * time.Microsecond
	return c, nil
}

func tryListen(address netip.AddrPort) error {
	fd, _, err := posix.Listen(address)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// fileSystems by the number that the kernel gives their kind.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs",
	unix.NFS_SUPER_MAGIC: "nfs", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2", unix.FUSE_SUPER_MAGIC: "fuse",
	unix.CEPH_SUPER_MAGIC: "ceph", unix.V9FS_MAGIC: "9p", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.BTRFS_SUPER_MAGIC: "btrfs",
	0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
}

func storageOf(folder string) (s Storage, err error) {
	var state unix.Statfs_t
	if err := unix.Statfs(folder, &state); err != nil {
		return s, err
	}
	block := uint64(state.Bsize)
	s = Storage{Name: fileSystems[int64(state.Type)], FreeBytes: state.Bavail * block, AllBytes: state.Blocks * block}
	if s.Name == "" {
		s.Name = fmt.Sprintf("number %#x", state.Type)
	}
	file, remove, err := temporary(folder)
	if err != nil {
		return s, err
	}
	defer remove()
	if err := file.Close(); err != nil {
		return s, err
	}
	direct, err := posix.OpenDataFile(file.Name(), posix.OpenOptions{SectorBytes: limits.Production().SectorBytes})
	if err == nil {
		err = direct.Close()
	}
	s.Direct = err
	return s, nil
}

// temporary makes a file in folder, and a function that removes it.
func temporary(folder string) (file *os.File, remove func(), err error) {
	file, err = os.CreateTemp(folder, "ledger-doctor-*")
	if err != nil {
		return nil, nil, err
	}
	return file, func() { _ = os.Remove(file.Name()) }, nil
}

// timeWrites writes blocks of a temporary file and makes each durable, as the log does. The blocks
// have space and content before they are timed, like those of a log that has gone round once.
func timeWrites(folder string, writeBytes, count int) (t Timing, err error) {
	created, remove, err := temporary(folder)
	if err != nil {
		return t, err
	}
	defer remove()
	if err := created.Close(); err != nil {
		return t, err
	}
	file, err := posix.OpenDataFile(created.Name(), posix.OpenOptions{DirectOptional: true, SectorBytes: limits.Production().SectorBytes})
	if err != nil {
		return t, err
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	buffer := memory.Bytes(uint64(writeBytes), 4096, "doctor")
	copy(buffer, bytes.Repeat([]byte("ledger doctor "), len(buffer)/14))
	var times []time.Duration
	const lapsCount = 2 // the first gives the blocks their content
	for lap := range lapsCount {
		for i := range count {
			began := time.Now()
			if err := file.WriteAt(buffer, uint64(i)*uint64(writeBytes)); err != nil {
				return t, err
			}
			if lap == lapsCount-1 {
				times = append(times, time.Since(began))
			}
		}
	}
	slices.Sort(times)
	return Timing{Median: times[len(times)/2], Longest: times[len(times)-1], Count: len(times)}, nil
}

func lookAtFile(path string) (f File, err error) {
	var stat unix.Stat_t
	switch err := unix.Stat(path, &stat); {
	case errors.Is(err, unix.ENOENT):
		return f, nil
	case err != nil:
		return f, err
	}
	f = File{Exists: true, Mode: stat.Mode & 0o7777, Owner: int(stat.Uid), SizeBytes: uint64(stat.Size)}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
	case unix.S_IFDIR:
		f.Kind = "a directory"
		return f, nil
	default:
		f.Kind = "neither a regular file nor a block device"
		return f, nil
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		f.MayUse = err
	}
	l := limits.Production()
	file, err := posix.OpenReadOnly(path, l.SectorBytes)
	if err != nil {
		f.Unread = err
		return f, nil
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	id := datafile.Identify(file, &l, memory.Bytes(datafile.SuperblockContentBytes, 4096, "superblock"))
	f.Foreign, f.IsOurs = id.Foreign(), id.Content == datafile.ContentOurs && id.Version == limits.FormatVersion
	f.Cluster, f.Replica, f.Replicas = id.Cluster.String(), id.Replica, id.Replicas
	if bytes, err := file.SizeBytes(); err == nil {
		f.SizeBytes = bytes
	}
	f.IsLocked, f.LockedBy = lockOf(file.Fd, &stat)
	return f, nil
}

// lockOf tells whether a process has the file locked, and which one. The lock is asked for and
// given back at once; a server that starts at that moment tries again.
func lockOf(fd int, stat *unix.Stat_t) (isLocked bool, process int) {
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_ = unix.Flock(fd, unix.LOCK_UN) // closing gives it back as well
		return false, 0
	}
	// "1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF"
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return true, 0
	}
	device := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)), stat.Ino)
	for line := range strings.Lines(string(locks)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "FLOCK" && fields[5] == device {
			process, _ = strconv.Atoi(fields[4])
		}
	}
	return true, process
}
