package posix

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Kinds of failure of OpenDataFile, for errors.Is.
var (
	ErrMissing    = errors.New("the data file does not exist")
	ErrExists     = errors.New("the data file exists already")
	ErrLocked     = errors.New("another process has the data file open")
	ErrNoDirectIO = errors.New("the file system does not support direct I/O with the sectors of the data file")
	ErrNotAFile   = errors.New("the data file is neither a regular file nor a block device")
	ErrNoUnnamed  = errors.New("the file system has no files without a name, or does not let them get one")
)

// lockWait is the time for which a locked file is tried again. A killed process holds its lock
// until the kernel has finished its last writes.
const (
	lockWait  = 10 * time.Second
	lockPause = 10 * time.Millisecond
)

// OpenOptions of a data file.
type OpenOptions struct {
	Create         bool   // make a new file, mode 0600; ErrExists if there is one
	Unnamed        bool   // make a new file without a name, mode 0600, for Publish; ErrNoUnnamed if the file system has none
	DirectOptional bool   // use the page cache if direct I/O is missing (--development)
	Exclusive      bool   // refuse a block device that is mounted or in use (O_EXCL)
	SectorBytes    uint32 // offsets, lengths and addresses are multiples of it
}

// DataFile is the open, locked data file. As a ports.File it serves format and recovery; Fd goes to
// ports.Thread.
type DataFile struct {
	Fd     int
	Direct bool // false only with DirectOptional
	device bool // a block device
	path   string
}

var (
	_ ports.DataFile   = (*DataFile)(nil)
	_ ports.SharedFile = (*DataFile)(nil)
)

// OpenDataFile opens path and locks it. The lock lasts until Close, or until the process and its
// last write have ended.
//
// errors: ErrMissing, ErrExists, ErrLocked, ErrNoDirectIO, ErrNotAFile, ErrNoUnnamed, wrapped in a
// sentence with the path; or the error of the system. A file that was created and cannot be used is
// removed again.
func OpenDataFile(path string, options OpenOptions) (file *DataFile, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_DIRECT
	if options.Exclusive {
		flags |= unix.O_EXCL
	}
	var fd int
	switch {
	case options.Unnamed:
		flags = flags&^unix.O_DIRECT | unix.O_TMPFILE
		fd, err = openRetried(filepath.Dir(path), flags)
		// EISDIR is the answer of a kernel that does not know the flag.
		if err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.ENOSYS || err == unix.EINVAL {
			return nil, fmt.Errorf("%s: %w", path, ErrNoUnnamed)
		}
	case options.Create:
		// A file system without direct I/O refuses an open with O_DIRECT either before or after it
		// has created the file, so that a second open could meet a file of another process. The
		// flag is set on the descriptor instead.
		flags = flags&^unix.O_DIRECT | unix.O_CREAT | unix.O_EXCL
		fd, err = openRetried(path, flags)
	default:
		fd, err = openRetried(path, flags)
		if err == unix.EINVAL { // the answer of a file system without direct I/O
			if !options.DirectOptional {
				return nil, noDirectIO(path)
			}
			flags &^= unix.O_DIRECT
			fd, err = openRetried(path, flags)
		}
	}
	switch err {
	case nil:
	case unix.ENOENT:
		if options.Create || options.Unnamed {
			return nil, fmt.Errorf("%s: its directory does not exist", path)
		}
		return nil, fmt.Errorf("%s: %w: see that the path is right and its disk mounted; ledger format makes the file of a new server, and "+
			"ledger recover that of a replica that has lost it, for which format must not be used", path, ErrMissing)
	case unix.EEXIST:
		return nil, fmt.Errorf("%s: %w", path, ErrExists)
	case unix.EISDIR:
		return nil, fmt.Errorf("%s: %w", path, ErrNotAFile)
	default:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file = &DataFile{Fd: fd, Direct: flags&unix.O_DIRECT != 0, path: path}
	if options.Create || options.Unnamed {
		err = file.enterDirect(options)
	}
	if err == nil && options.Unnamed && !file.canPublish() {
		err = fmt.Errorf("%s: %w", path, ErrNoUnnamed)
	}
	if err == nil {
		err = file.prepare(options)
	}
	if err != nil {
		if options.Create {
			_ = unix.Unlink(path)
		}
		_ = unix.Close(fd)
		return nil, err
	}
	return file, nil
}

// enterDirect turns direct I/O on for a new file.
func (f *DataFile) enterDirect(options OpenOptions) error {
	flags, err := unix.FcntlInt(uintptr(f.Fd), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(f.Fd), unix.F_SETFL, flags|unix.O_DIRECT)
	}
	switch {
	case err == nil:
		f.Direct = true
		return nil
	case err != unix.EINVAL:
		return fmt.Errorf("enter direct I/O on %s: %w", f.path, err)
	case options.DirectOptional:
		return nil
	}
	return noDirectIO(f.path)
}

// canPublish tells whether /proc shows the descriptor, through which a file without a name gets
// one.
func (f *DataFile) canPublish() bool {
	var own, shown unix.Stat_t
	return unix.Fstat(f.Fd, &own) == nil && unix.Stat(f.procPath(), &shown) == nil && own.Dev == shown.Dev && own.Ino == shown.Ino
}

func (f *DataFile) procPath() string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd) }

// Publish gives a file that was opened with Unnamed its name. The name is durable after Sync.
//
// errors: ErrExists, and no name is changed; ErrNoUnnamed if the file system does not let a file
// without a name get one; or what the system said.
func (f *DataFile) Publish() error {
	err := retried(func() error {
		return unix.Linkat(unix.AT_FDCWD, f.procPath(), unix.AT_FDCWD, f.path, unix.AT_SYMLINK_FOLLOW)
	})
	switch err {
	case nil:
		return nil
	case unix.EEXIST:
		return fmt.Errorf("%s: %w", f.path, ErrExists)
	case unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EXDEV, unix.EINVAL, unix.ENOENT:
		return fmt.Errorf("naming %s: %w: %w", f.path, ErrNoUnnamed, err)
	}
	return fmt.Errorf("naming %s: %w", f.path, err)
}

// PublishAs renames a file that was opened with Create, by a temporary name, unless somebody has
// the new name. The name is durable after Sync.
//
// errors: ErrExists, and no name is changed; or what the system said.
func (f *DataFile) PublishAs(path string) error {
	err := retried(func() error { return unix.Renameat2(unix.AT_FDCWD, f.path, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE) })
	if err == unix.EINVAL || err == unix.ENOSYS { // some network file systems cannot rename without replacing
		if err = retried(func() error { return unix.Link(f.path, path) }); err == nil {
			_ = unix.Unlink(f.path)
		}
	}
	switch err {
	case nil:
		f.path = path
		return nil
	case unix.EEXIST:
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	return fmt.Errorf("naming %s: %w", path, err)
}

// HasName tells whether the file's name leads to this file.
func (f *DataFile) HasName() bool {
	var own, named unix.Stat_t
	return unix.Fstat(f.Fd, &own) == nil && unix.Lstat(f.path, &named) == nil && own.Dev == named.Dev && own.Ino == named.Ino
}

// Remove removes the file's name, if it leads to this file.
func (f *DataFile) Remove() {
	if f.HasName() {
		_ = unix.Unlink(f.path)
	}
}

func openRetried(path string, flags int) (fd int, err error) {
	err = retried(func() error {
		fd, err = unix.Open(path, flags, 0o600)
		return err
	})
	return fd, err
}

func noDirectIO(path string) error {
	return fmt.Errorf("%s: %w; move it to another file system, or start with --development to go through the page cache", path, ErrNoDirectIO)
}

// prepare checks the opened file and locks it.
func (f *DataFile) prepare(options OpenOptions) error {
	var stat unix.Statx_t
	if err := retried(func() error {
		return unix.Statx(f.Fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_DIOALIGN, &stat)
	}); err != nil {
		return fmt.Errorf("statx %s: %w", f.path, err)
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFBLK {
		return fmt.Errorf("%s: %w", f.path, ErrNotAFile)
	}
	f.device = stat.Mode&unix.S_IFMT == unix.S_IFBLK
	// A kernel before 6.1 does not tell the alignment. Then the first transfer fails if it is
	// wrong.
	if f.Direct && stat.Mask&unix.STATX_DIOALIGN != 0 {
		align := max(stat.Dio_mem_align, stat.Dio_offset_align)
		if align == 0 || options.SectorBytes%align != 0 {
			if !options.DirectOptional {
				return noDirectIO(f.path)
			}
			if err := f.leaveDirect(); err != nil {
				return err
			}
		}
	}
	deadline := time.Now().Add(lockWait)
	for {
		err := unix.Flock(f.Fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("lock %s: %w", f.path, err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: %w", f.path, ErrLocked)
		default:
			time.Sleep(lockPause)
		}
	}
}

func (f *DataFile) leaveDirect() error {
	flags, err := unix.FcntlInt(uintptr(f.Fd), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(f.Fd), unix.F_SETFL, flags&^unix.O_DIRECT)
	}
	if err != nil {
		return fmt.Errorf("leave direct I/O on %s: %w", f.path, err)
	}
	f.Direct = false
	return nil
}

// ReadAt implements ports.File. With direct I/O, buffer and offsetBytes are aligned to the sector.
func (f *DataFile) ReadAt(buffer []byte, offsetBytes uint64) error {
	done := 0
	for done < len(buffer) {
		count, err := unix.Pread(f.Fd, buffer[done:], int64(offsetBytes)+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil && !(err == unix.EINVAL && EndOfDirectFile(true, done)) {
			return fmt.Errorf("read %d bytes at %d of %s: %w", len(buffer)-done, offsetBytes+uint64(done), f.path, err)
		}
		if err != nil || count == 0 {
			break // the end of the file
		}
		done += count
	}
	clear(buffer[done:])
	return nil
}

// ReadersMax implements ports.SharedFile. More reads of a MiB at the same time gain nothing.
func (f *DataFile) ReadersMax() int { return 4 }

// WriteAt implements ports.File. With direct I/O, buffer and offsetBytes are aligned to the sector.
func (f *DataFile) WriteAt(buffer []byte, offsetBytes uint64) error {
	for len(buffer) > 0 {
		vector := unix.Iovec{Base: unsafe.SliceData(buffer)}
		vector.SetLen(len(buffer))
		count, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(f.Fd), uintptr(unsafe.Pointer(&vector)), 1, uintptr(offsetBytes), 0,
			unix.RWF_DSYNC)
		if errno == unix.EINTR {
			continue
		}
		if errno == 0 && count == 0 {
			errno = unix.EIO
		}
		if errno != 0 {
			return fmt.Errorf("write %d bytes at %d of %s: %w", len(buffer), offsetBytes, f.path, errno)
		}
		buffer, offsetBytes = buffer[count:], offsetBytes+uint64(count)
	}
	return nil
}

// Allocate reserves disk space for the range and extends the file to its end. ENOSPC is wrapped in
// the error.
func (f *DataFile) Allocate(offsetBytes, lengthBytes uint64) error {
	if err := retried(func() error { return unix.Fallocate(f.Fd, 0, int64(offsetBytes), int64(lengthBytes)) }); err != nil {
		return fmt.Errorf("allocate %d bytes at %d of %s: %w", lengthBytes, offsetBytes, f.path, err)
	}
	return nil
}

// Sync implements ports.DataFile.
func (f *DataFile) Sync() error {
	if err := retried(func() error { return unix.Fsync(f.Fd) }); err != nil {
		return fmt.Errorf("fsync %s: %w", f.path, err)
	}
	if !f.Direct {
		// After a failed sync, an earlier process may have left pages that look clean but are not
		// on the medium.
		_ = unix.Fadvise(f.Fd, 0, 0, unix.FADV_DONTNEED)
	}
	return f.syncDirectory()
}

// syncDirectory makes the file's name durable. A directory can be synced only with a descriptor
// that may read it. If the process may enter but not read the directory, syncfs on the file's
// descriptor syncs the whole file system instead.
func (f *DataFile) syncDirectory() error {
	path := filepath.Dir(f.path)
	directory, err := openRetried(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err == unix.EACCES || err == unix.EPERM {
		if err := retried(func() error { return unix.Syncfs(f.Fd) }); err != nil {
			return fmt.Errorf("syncfs by %s, whose directory may not be read: %w", f.path, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s, the directory of %s: %w", path, f.path, err)
	}
	defer unix.Close(directory)
	if err := retried(func() error { return unix.Fsync(directory) }); err != nil {
		return fmt.Errorf("fsync %s, the directory of %s: %w", path, f.path, err)
	}
	return nil
}

// retried repeats a call that a signal interrupts. Network file systems interrupt even a sync.
func retried(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// SizeBytes implements ports.File.
func (f *DataFile) SizeBytes() (uint64, error) {
	// The offset of the end is the size of both regular files and block devices. The descriptor's
	// position is not used otherwise.
	end, err := unix.Seek(f.Fd, 0, unix.SEEK_END)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", f.path, err)
	}
	return uint64(end), nil
}

// BytesMax is the size to which the file can grow with the space that its file system has now.
func (f *DataFile) BytesMax() (uint64, error) {
	size, err := f.SizeBytes()
	if err != nil || f.device {
		return size, err
	}
	var state unix.Statfs_t
	if err := retried(func() error { return unix.Fstatfs(f.Fd, &state) }); err != nil {
		return 0, fmt.Errorf("room of the file system of %s: %w", f.path, err)
	}
	return size + state.Bavail*uint64(state.Bsize), nil
}

// IsBlockDevice tells whether this is a block device, whose size does not depend on writes.
func (f *DataFile) IsBlockDevice() bool { return f.device }

// Close gives up the lock and the descriptor. All threads that write to the file must be closed
// before.
func (f *DataFile) Close() error {
	err := unix.Close(f.Fd)
	f.Fd = -1
	return err
}
