package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LineBytesMax is more than the longest line of an event.
const LineBytesMax = 8 << 10

// Form of lines.
type Form struct {
	Header    string                            // the first line of each file, with its end; "": none
	Start     string                            // what each line begins with
	Timestamp func(line []byte) (uint64, error) // of a line, which comes without its end
}

// File is a sink of lines. It knows the last one that is on the disk. When it has grown to its
// limit it gets the name PATH.TIMESTAMP, with the timestamp of its last line in 19 digits, and a
// new file takes its place.
type File struct {
	path           string
	form           Form
	rotateBytesMin int64 // 0: never
	file           *os.File
	size           int64 // that is synced; what is behind it is no line of ours
	last           uint64
}

// timestampDigits is the number of digits of the largest timestamp.
const timestampDigits = 19

// OpenFile opens the sink named path, which is made if it is missing. What is behind the last whole
// line, because a job ended in the middle of it, is cut off.
//
// error: another job has it open, it cannot be written, or it has other lines.
func OpenFile(path string, form Form, rotateBytesMin int64) (*File, error) {
	f := &File{path: path, form: form, rotateBytesMin: rotateBytesMin}
	if err := f.open(); err != nil {
		return nil, err
	}
	if err := f.recover(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens the file at path, and locks it.
func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: is no regular file, so its last line cannot be found; write to stdout instead, with --timestamp-last", f.path)
	case errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK):
		err = fmt.Errorf("%s: another job writes to it", f.path)
	default:
		err = syncFolder(f.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, 0
	return nil
}

// syncFolder makes the names in the folder of path durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// recover finds the last whole line, in the file or in the newest one before it.
func (f *File) recover() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	err = f.checkStart(info.Size())
	end, line := int64(0), []byte(nil)
	if err == nil {
		end, line, err = lastLine(f.file, info.Size())
	}
	switch {
	case err != nil:
	case end <= int64(len(f.form.Header)): // nothing, or nothing but the header
		f.last, err = newest(f.path)
	default:
		if f.last, err = f.form.Timestamp(line); err != nil {
			err = fmt.Errorf("the last line is none of this kind (%w)", err)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w: name another file", f.path, err)
	}
	if f.size = end; end == info.Size() {
		return nil
	}
	return errors.Join(f.file.Truncate(end), f.file.Sync())
}

// checkStart checks that the file, as far as it goes, begins as lines of this form do.
func (f *File) checkStart(size int64) error {
	want := f.form.Header + f.form.Start
	start := make([]byte, min(size, int64(len(want))))
	if _, err := f.file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !strings.HasPrefix(want, string(start)) {
		return fmt.Errorf("begins with %.40q, not with %.40q", start, want)
	}
	return nil
}

// lastLine returns the last line that ends, and where its end is; 0 if there is none.
func lastLine(file io.ReaderAt, size int64) (end int64, line []byte, err error) {
	tail := make([]byte, min(size, 2*LineBytesMax))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, err
	}
	last := bytes.LastIndexByte(tail, '\n')
	if last < 0 {
		if size > LineBytesMax {
			return 0, nil, errors.New("has no line of this kind")
		}
		return 0, nil, nil
	}
	end = size - int64(len(tail)) + int64(last) + 1
	return end, tail[bytes.LastIndexByte(tail[:last], '\n')+1 : last], nil
}

// newest is the timestamp of the newest file that was rotated; 0 if there is none.
func newest(path string) (last uint64, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if timestamp, err := strconv.ParseUint(digits, 10, 63); ok && err == nil && len(digits) == timestampDigits {
			last = max(last, timestamp)
		}
	}
	return last, nil
}

// Last is the timestamp of the last line on the disk, 0 if there is none.
func (f *File) Last() uint64 { return f.last }

// Write makes lines durable; the last one is of that timestamp. After an error nothing counts as
// written, and the same lines may be tried again.
func (f *File) Write(lines []byte, last uint64) error {
	if f.rotateBytesMin > 0 && f.size >= f.rotateBytesMin {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	size := f.size
	if size == 0 && f.form.Header != "" {
		lines = append([]byte(f.form.Header), lines...)
	}
	_, err := f.file.WriteAt(lines, size)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return errors.Join(err, f.file.Truncate(size))
	}
	f.size += int64(len(lines))
	f.last = last
	return nil
}

// rotate gives the file its last name, and begins a new one. If that fails, the file stays open
// under the name that it has.
func (f *File) rotate() error {
	old := fmt.Sprintf("%s.%0*d", f.path, timestampDigits, f.last)
	if err := rename(f.path, old); err != nil {
		return err
	}
	full := f.file
	if err := f.open(); err != nil {
		return errors.Join(err, rename(old, f.path))
	}
	return full.Close()
}

// rename renames a file, and replaces none.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	}
	if _, err := os.Lstat(to); err == nil { // the file system cannot tell by itself
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
	}
	return os.Rename(from, to)
}

// Close gives up the file and its lock.
func (f *File) Close() error { return f.file.Close() }
