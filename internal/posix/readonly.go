package posix

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// OpenReadOnly opens a data file for reading alone. It takes no lock, so it neither disturbs a
// server that has the file open nor keeps one from starting. Reads bypass the page cache where the
// file system can do that: a server writes past the page cache too.
//
// errors: ErrMissing, ErrNotAFile, wrapped in a sentence with the path; or what the system said.
func OpenReadOnly(path string, sectorBytes uint32) (*DataFile, error) {
	// Without O_NONBLOCK, opening a fifo would wait for a writer.
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := openRetried(path, flags|unix.O_DIRECT)
	direct := err == nil
	if err == unix.EINVAL {
		fd, err = openRetried(path, flags)
	}
	switch err {
	case nil:
	case unix.ENOENT:
		return nil, fmt.Errorf("%s: %w", path, ErrMissing)
	case unix.EACCES, unix.EPERM:
		return nil, fmt.Errorf("%s: %w: run it as the user that serves the file, or give it the right to read", path, fs.ErrPermission)
	default:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := &DataFile{Fd: fd, Direct: direct, path: path}
	if err := f.examine(sectorBytes); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// examine checks what was opened, and leaves direct I/O where sectors are larger than those of the
// file.
func (f *DataFile) examine(sectorBytes uint32) error {
	var stat unix.Statx_t
	if err := retried(func() error {
		return unix.Statx(f.Fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_DIOALIGN, &stat)
	}); err != nil {
		return fmt.Errorf("statx %s: %w", f.path, err)
	}
	kind := stat.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		return fmt.Errorf("%s: %w: it is a directory", f.path, ErrNotAFile)
	}
	if kind != unix.S_IFREG && kind != unix.S_IFBLK {
		return fmt.Errorf("%s: %w", f.path, ErrNotAFile)
	}
	f.device = kind == unix.S_IFBLK
	align := max(stat.Dio_mem_align, stat.Dio_offset_align)
	if f.Direct && stat.Mask&unix.STATX_DIOALIGN != 0 && (align == 0 || sectorBytes%align != 0) {
		return f.leaveDirect()
	}
	return nil
}

// IsInUse tells whether a server has the file. It holds the lock for a moment itself, for which a
// start waits.
func (f *DataFile) IsInUse() bool {
	err := retried(func() error { return unix.Flock(f.Fd, unix.LOCK_SH|unix.LOCK_NB) })
	if err == nil {
		_ = unix.Flock(f.Fd, unix.LOCK_UN)
	}
	return err == unix.EWOULDBLOCK
}
