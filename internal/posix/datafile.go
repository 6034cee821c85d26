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
)

// lockWait: a process killed a moment ago holds its lock until the kernel has finished its last
// writes.
const (
	lockWait  = 2 * time.Second
	lockPause = 10 * time.Millisecond
)

// OpenOptions of a data file.
type OpenOptions struct {
	Create         bool   // make a new file, mode 0600; ErrExists if there is one
	DirectOptional bool   // go on through the page cache where direct I/O is missing (--development)
	Exclusive      bool   // of a block device: refuse one that is mounted or in use (O_EXCL)
	SectorBytes    uint32 // what offsets, lengths and addresses are multiples of
}

// DataFile is the open, locked data file. As a ports.File it serves format and recovery; Fd goes to
// ports.Thread.
type DataFile struct {
	Fd     int
	Direct bool // false only with DirectOptional
	device bool // a block device
	path   string
}

var _ ports.DataFile = (*DataFile)(nil)

// OpenDataFile opens path, alone: the lock lasts until Close, or until the process and its last
// write have ended.
//
// errors: ErrMissing, ErrExists, ErrLocked, ErrNoDirectIO, ErrNotAFile, wrapped in a sentence with
// the path; or what the system said. A file that was created and cannot be used is removed again.
func OpenDataFile(path string, options OpenOptions) (file *DataFile, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_DIRECT
	if options.Create {
		flags |= unix.O_CREAT | unix.O_EXCL
	}
	if options.Exclusive {
		flags |= unix.O_EXCL
	}
	fd, err := openRetried(path, flags)
	if err == unix.EINVAL { // how a file system says no to O_DIRECT; some have created the file nevertheless
		if !options.DirectOptional {
			if options.Create {
				_ = unix.Unlink(path)
			}
			return nil, noDirectIO(path)
		}
		flags &^= unix.O_DIRECT
		if options.Create {
			flags &^= unix.O_EXCL
		}
		fd, err = openRetried(path, flags)
	}
	switch err {
	case nil:
	case unix.ENOENT:
		if options.Create {
			return nil, fmt.Errorf("%s: its directory does not exist", path)
		}
		return nil, fmt.Errorf("%s: %w (format creates it)", path, ErrMissing)
	case unix.EEXIST:
		return nil, fmt.Errorf("%s: %w", path, ErrExists)
	case unix.EISDIR:
		return nil, fmt.Errorf("%s: %w", path, ErrNotAFile)
	default:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	file = &DataFile{Fd: fd, Direct: flags&unix.O_DIRECT != 0, path: path}
	if err = file.prepare(options); err != nil {
		_ = unix.Close(fd)
		if options.Create {
			_ = unix.Unlink(path)
		}
		return nil, err
	}
	return file, nil
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

// prepare checks what was opened, and locks it.
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
	// A kernel before 6.1 does not tell; then the first transfer will.
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

// ReadersMax implements ports.SharedFile: a disk that is asked for one block at a time idles while
// that is verified.
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
		// An earlier process' failed sync leaves pages that look clean and are not on the medium.
		_ = unix.Fadvise(f.Fd, 0, 0, unix.FADV_DONTNEED)
	}
	return f.syncDirectory()
}

// syncDirectory makes the file's name durable. A directory can be synced only by a descriptor that
// may read it. Where we may enter the directory and not read it, syncfs does the same for the whole
// file system, by the descriptor of the file.
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
	// The end as a position works for regular files and block devices alike; nothing uses the
	// descriptor's own position.
	end, err := unix.Seek(f.Fd, 0, unix.SEEK_END)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", f.path, err)
	}
	return uint64(end), nil
}

// BytesMax is how large the file could become on its file system as that is now.
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

// IsBlockDevice tells whether the size is the device's, whatever was written to it.
func (f *DataFile) IsBlockDevice() bool { return f.device }

// Close gives up lock and descriptor, after every thread that writes to it has closed.
func (f *DataFile) Close() error {
	err := unix.Close(f.Fd)
	f.Fd = -1
	return err
}
