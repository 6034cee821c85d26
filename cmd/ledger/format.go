package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage/datafile"
	"ledger/wire"
)

type formatCommand struct {
	Cluster      *string `placeholder:"N" help:"Id of the cluster: a decimal of up to 128 bits. Left out, a random one is chosen and printed; 0 is for tests. Default: random."`
	Replica      *string `placeholder:"I" help:"Index of this replica, from 0."`
	Standby      *string `placeholder:"I" help:"Instead of --replica: index of this standby, which follows and never votes: --replica-count or above; there are up to ${standbys_max}."`
	ReplicaCount *string `placeholder:"N" help:"Replicas of the cluster, 1 to ${replicas_max}."`
	ClientsMax   *string `placeholder:"N" help:"Client sessions, 1 to ${clients_max}, the same on all replicas. Default: ${clients}."`
	Development  *string `placeholder:"BOOL" help:"Make a file for development: quickly, and without direct I/O where there is none. Default: false."`
	File         string  `arg:"" help:"The data file to make."`
}

// setting is the value of a flag for package config.
func setting(name string, value *string) config.Setting {
	if value == nil {
		return config.Setting{}
	}
	return config.Flag(name, *value)
}

func (c *formatCommand) Run(s *streams) error {
	settings := config.FormatSettings{
		Cluster:      setting("cluster", c.Cluster),
		Replica:      setting("replica", c.Replica),
		Standby:      setting("standby", c.Standby),
		ReplicaCount: setting("replica-count", c.ReplicaCount),
		ClientsMax:   setting("clients-max", c.ClientsMax),
		Development:  setting("development", c.Development),
	}
	format, err := settings.Resolve()
	if err != nil {
		return err
	}
	if !format.ClusterIsSet {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("choosing a cluster id: %w", err)
		}
		format.Cluster = wire.U128FromBytes(random[:])
		fmt.Fprintf(s.err, "cluster: %s (chosen at random)%s\n", format.Cluster, sameCluster(format))
	} else if format.Cluster.IsZero() {
		fmt.Fprintln(s.err, "warning: cluster 0 is for tests; give production clusters ids of their own, so that files cannot be mixed up")
	}
	if note := copiesNote(int(format.ReplicaCount)); note != "" {
		fmt.Fprintln(s.err, note)
	}
	if format.IsStandby() {
		fmt.Fprintln(s.err, standbyNote(format))
	}
	return formatFile(s.err, c.File, format)
}

// formatFile makes a data file. After an error there is none. The file gets its name when it is
// complete and on the disk. So a format that is killed leaves nothing under that name, and of two
// formats with one name the second is refused.
func formatFile(warnings io.Writer, path string, format *config.Format) error {
	f, err := newFormatter(warnings, "format", path, format)
	if err != nil {
		return err
	}
	return f.make(newIncarnation(), 0)
}

// newFormatter prepares a command to make a data file. The error says why there can be none of this
// path.
func newFormatter(warnings io.Writer, command, path string, format *config.Format) (*formatter, error) {
	l := limits.Production()
	l.ConnectionsMax = l.ConnectionsMax - l.SessionsMax + format.ClientsMax
	l.SessionsMax = format.ClientsMax
	if err := l.Check(); err != nil {
		return nil, err
	}
	f := &formatter{warnings: warnings, command: command, path: path, limits: &l, format: format}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0:
		f.isDevice = true
		return f, nil
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file in it, as in %s", path, filepath.Join(path, "0.data"))
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is neither a regular file nor a block device: name another path", path)
	case err == nil:
		return nil, f.exists()
	}
	if target, err := os.Readlink(f.path); err == nil {
		return nil, fmt.Errorf("%s is a symbolic link to %s, which does not exist: name that path", f.path, target)
	}
	return f, nil
}

// make makes the file. view is above 0 if it takes the place of a lost one.
func (f *formatter) make(incarnation uint64, view uint32) error {
	f.incarnation, f.view = incarnation, view
	if f.isDevice {
		return f.device()
	}
	err := f.unnamed()
	if errors.Is(err, posix.ErrNoUnnamed) {
		err = f.temporary()
	}
	return err
}

// formatter makes one data file.
type formatter struct {
	warnings    io.Writer
	command     string // that makes it, in messages
	path        string // of the file to make, also in every message
	limits      *limits.Limits
	format      *config.Format
	isDevice    bool
	incarnation uint64
	view        uint32
}

func (f *formatter) options() posix.OpenOptions {
	return posix.OpenOptions{DirectOptional: f.format.Development, SectorBytes: f.limits.SectorBytes}
}

// device formats a block device in place.
func (f *formatter) device() error {
	options := f.options()
	options.Exclusive = true
	file, err := posix.OpenDataFile(f.path, options)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: the device is in use, for example mounted: name another, or end that use first: %w", f.path, err)
	}
	if err != nil {
		return err
	}
	err = f.fill(file)
	return errors.Join(err, file.Close())
}

// unnamed fills a file that has no name, which the kernel removes with the process, and names it
// when it is whole.
func (f *formatter) unnamed() error {
	options := f.options()
	options.Unnamed = true
	file, err := posix.OpenDataFile(f.path, options)
	if err != nil {
		return f.failed(err)
	}
	err = f.finish(file, file.Publish)
	return errors.Join(err, file.Close())
}

// temporary is for file systems on which every file has a name: a temporary one, with 16
// hexadecimal digits, until the file is whole. A format that is killed leaves it behind; the next
// format of the same path removes it.
func (f *formatter) temporary() error {
	f.removeLeftovers()
	var file *posix.DataFile
	for {
		var random [8]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("choosing a name for the time of formatting: %w", err)
		}
		options := f.options()
		options.Create = true
		var err error
		if file, err = posix.OpenDataFile(fmt.Sprintf("%s%s%x", f.path, temporaryInfix, random), options); err != nil {
			return f.failed(err)
		}
		if file.HasName() {
			break
		}
		_ = file.Close() // another format took it for a leftover, in the moment between its creation and its lock
	}
	err := f.finish(file, func() error { return file.PublishAs(f.path) })
	if err != nil {
		file.Remove()
	}
	return errors.Join(err, file.Close())
}

// finish fills a new file, names it, and makes the name durable or takes it back.
func (f *formatter) finish(file *posix.DataFile, publish func() error) error {
	if err := f.fill(file); err != nil {
		return err
	}
	if err := publish(); err != nil {
		if errors.Is(err, posix.ErrExists) {
			return f.exists()
		}
		return f.failed(err)
	}
	if err := file.Sync(); err != nil {
		file.Remove()
		return f.failed(err)
	}
	return nil
}

// temporaryInfix stands between the path and the digits in a temporary name.
const temporaryInfix = ".format-"

// removeLeftovers removes what killed formats of the same path have left under temporary names. A
// living one has its file locked.
func (f *formatter) removeLeftovers() {
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return // the directory may be entered and not listed, or it is missing, which the open will say
	}
	for _, entry := range entries {
		digits, found := strings.CutPrefix(entry.Name(), filepath.Base(f.path)+temporaryInfix)
		if random, err := hex.DecodeString(digits); !found || err != nil || len(random) != 8 || !entry.Type().IsRegular() {
			continue
		}
		name := filepath.Join(filepath.Dir(f.path), entry.Name())
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		// The lock is held while the name goes, so that a format that has just created it notices
		// (HasName).
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Unlink(name) == nil {
			fmt.Fprintf(f.warnings, "removed %s, which a format that was killed had left behind\n", name)
		}
		_ = unix.Close(fd)
	}
}

// exists says that the path is taken, and by what.
func (f *formatter) exists() error {
	id := datafile.Identity{}
	if file, err := os.Open(f.path); err == nil {
		id = datafile.Identify(existing{file}, f.limits, make([]byte, datafile.SuperblockContentBytes))
		_ = file.Close()
	}
	holds, advice := describeContent(&id, "name another, or remove it if nobody needs it")
	return fmt.Errorf("%s: %w%s: %s never overwrites; %s", f.path, posix.ErrExists, holds, f.command, advice)
}

// existing is a file that is only looked at, without direct I/O and without its lock: a server may
// serve it.
type existing struct{ file *os.File }

func (e existing) ReadAt(buffer []byte, offsetBytes uint64) error {
	count, err := e.file.ReadAt(buffer, int64(offsetBytes))
	clear(buffer[count:])
	if err == io.EOF {
		return nil
	}
	return err
}

// describeContent says in a message what a file or a device holds, and what its owner can do. other
// is the advice for what is unknown or ours.
func describeContent(id *datafile.Identity, other string) (holds, advice string) {
	switch {
	case id.Content == datafile.ContentReference:
		return fmt.Sprintf(" (a data file of TigerBeetle, of cluster %s)", id.Cluster),
			"it can be served with TigerBeetle only; to move to this server, name another file and copy the accounts and transfers into it " +
				"through a client, with the flag imported"
	case id.Content == datafile.ContentOurs && id.Version == 0:
		return " (a data file whose superblock is damaged)", other
	case id.Content == datafile.ContentOurs && id.Version != limits.FormatVersion:
		return fmt.Sprintf(" (a data file of cluster %s, replica %d, in format version %d, while this server has version %d)",
			id.Cluster, id.Replica, id.Version, limits.FormatVersion), other
	case id.Content == datafile.ContentOurs:
		return fmt.Sprintf(" (a data file of cluster %s, replica %d)", id.Cluster, id.Replica), "start serves it; " + other
	}
	return "", other
}

// allocator is a file for which space can be reserved.
type allocator interface {
	Allocate(offsetBytes, lengthBytes uint64) error
}

// reserve reserves the zones before the grid. writeZeros: the file system cannot do so. Then the
// zones have to be written in full, which reserves them as well.
func reserve(file allocator, lengthBytes uint64) (writeZeros bool, err error) {
	err = file.Allocate(0, lengthBytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return true, nil
	}
	return false, err
}

// newIncarnation draws the number that tells this file from another one of the same replica.
func newIncarnation() uint64 {
	var random [8]byte
	for {
		if _, err := rand.Read(random[:]); err != nil {
			panic(err) // the documentation of Read rules it out
		}
		if incarnation := binary.LittleEndian.Uint64(random[:]); incarnation != 0 {
			return incarnation
		}
	}
}

// isBlank tells whether the first len(scratch) bytes of a file are zeros.
func isBlank(file ports.File, scratch []byte) (bool, error) {
	if err := file.ReadAt(scratch, 0); err != nil {
		return false, err
	}
	for _, b := range scratch {
		if b != 0 {
			return false, nil
		}
	}
	return true, nil
}

// fill writes an empty replica into an open file or block device, and makes it durable.
func (f *formatter) fill(file *posix.DataFile) error {
	layout := datafile.NewLayout(f.limits)
	memory := arena.New()
	defer memory.Close()
	scratch := memory.Bytes(uint64(f.limits.MessageBytesMax), 4096, "format")
	writeLog := !f.format.Development
	if file.IsBlockDevice() {
		if err := f.checkDevice(file, scratch); err != nil {
			return err
		}
	} else {
		var stat unix.Statfs_t
		if unix.Fstatfs(file.Fd, &stat) == nil && stat.Type == unix.TMPFS_MAGIC {
			fmt.Fprintf(f.warnings, "warning: %s is on a tmpfs: the data file is lost when the machine stops\n", f.path)
		}
		writeZeros, err := reserve(file, layout.GridAt)
		if err != nil {
			return f.failed(err)
		}
		if writeZeros {
			fmt.Fprintf(f.warnings, "warning: the file system of %s cannot reserve space (fallocate): writing zeros instead, which takes longer\n",
				f.path)
			writeLog = true
		}
	}
	err := datafile.Format(file, f.limits, &datafile.FormatOptions{
		Cluster:       f.format.Cluster,
		Replica:       uint8(f.format.Replica),
		ReplicasCount: uint8(f.format.ReplicaCount),
		Incarnation:   f.incarnation,
		View:          f.view,
		WriteLog:      writeLog,
	}, scratch)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return f.failed(fmt.Errorf("formatting %s: %w", f.path, err))
	}
	return nil
}

// checkDevice refuses a block device that is too small or holds something.
func (f *formatter) checkDevice(file *posix.DataFile, scratch []byte) error {
	layout := datafile.NewLayout(f.limits)
	size, err := file.SizeBytes()
	if err != nil {
		return err
	}
	if size < layout.GridAt+uint64(f.limits.BlockBytes) {
		return &statusError{exitNoSpace, fmt.Errorf(
			"formatting %s: no space left: the device has %d MiB, a data file begins with %d MiB; name a larger one",
			f.path, size>>20, layout.GridAt>>20)}
	}
	// A partition table, a file system or a data file, also one of the reference, has something in
	// these bytes.
	blank, err := isBlank(file, scratch)
	if err != nil {
		return fmt.Errorf("reading the beginning of %s: %w", f.path, err)
	}
	if blank {
		return nil
	}
	blankBytes := len(scratch)
	id := datafile.Identify(file, f.limits, scratch)
	holds, advice := describeContent(&id, fmt.Sprintf(
		"name another, or, if nobody needs what it holds, write zeros over its first %d KiB", blankBytes>>10))
	return fmt.Errorf("%s: the device is not blank%s: %s never overwrites; %s", f.path, holds, f.command, advice)
}

// failed gives an error for which there was no room its status and the way out. Others stay as they
// are.
func (f *formatter) failed(err error) error {
	why := noSpace(err)
	if why == "" {
		return err
	}
	cure := "free some, or name another disk"
	switch {
	case errors.Is(err, unix.EDQUOT):
		cure = "free some, have the quota raised, or name another disk"
	case errors.Is(err, unix.EFBIG):
		cure = "raise the limit, or name a file system that takes larger files"
	}
	layout := datafile.NewLayout(f.limits)
	return &statusError{exitNoSpace, fmt.Errorf("%s: no space left on the disk: %s; a data file begins with %d MiB: %s: %w",
		f.path, why, layout.GridAt>>20, cure, err)}
}
