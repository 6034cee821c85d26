package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
	ReplicaCount *string `placeholder:"N" help:"Replicas of the cluster, 1 to ${replicas_max}."`
	ClientsMax   *string `placeholder:"N" help:"Client sessions, 1 to ${clients_max}, the same on all replicas. Default: ${clients}."`
	Development  *string `placeholder:"BOOL" help:"Make a file for development: quickly, and without direct I/O where there is none. Default: false."`
	File         string  `arg:"" help:"The data file to make."`
}

// setting is a flag's value for package config.
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
		fmt.Fprintf(s.err, "cluster: %s (chosen at random)\n", format.Cluster)
	} else if format.Cluster.IsZero() {
		fmt.Fprintln(s.err, "warning: cluster 0 is for tests; give production clusters ids of their own, so that files cannot be mixed up")
	}
	if format.ReplicaCount > 1 {
		return fmt.Errorf("--replica-count=%d: start serves clusters of 1 replica so far: format with --replica-count=1", format.ReplicaCount)
	}
	return formatFile(s.err, c.File, format)
}

// formatFile makes a data file; an error leaves none behind. The file gets its name when it is
// whole and on the disk, so that a format that is killed leaves nothing under that name, and of two
// formats of one name the second is refused.
func formatFile(warnings io.Writer, path string, format *config.Format) error {
	l := limits.Production()
	l.ConnectionsMax = l.ConnectionsMax - l.SessionsMax + format.ClientsMax
	l.SessionsMax = format.ClientsMax
	if err := l.Check(); err != nil {
		return err
	}
	options := posix.OpenOptions{DirectOptional: format.Development, SectorBytes: l.SectorBytes}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0:
		options.Exclusive = true
		file, err := posix.OpenDataFile(path, options)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s: the device is in use, for example mounted: name another, or end that use first: %w", path, err)
		}
		if err != nil {
			return err
		}
		err = fillFile(warnings, file, path, &l, format)
		return errors.Join(err, file.Close())
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory: name a file in it, as in %s", path, filepath.Join(path, "0.data"))
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a regular file nor a block device: name another path", path)
	case err == nil:
		return existsError(path)
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("choosing a name for the time of formatting: %w", err)
	}
	temporary := fmt.Sprintf("%s.format-%x", path, random)
	options.Create = true
	file, err := posix.OpenDataFile(temporary, options)
	if err != nil {
		return err
	}
	err = fillFile(warnings, file, path, &l, format)
	if err == nil {
		err = publish(temporary, path)
	}
	_ = os.Remove(temporary) // gone where publish renamed it; else a second name, or half a data file
	if err == nil {
		err = file.Sync() // of the directory, with the name
	}
	return errors.Join(err, file.Close())
}

func existsError(path string) error {
	return fmt.Errorf("%s: %w: format never overwrites; name another, or remove it if nobody needs it", path, posix.ErrExists)
}

// publish gives the whole file its name, unless somebody has it. A file system without hard links
// renames.
func publish(temporary, path string) error {
	err := unix.Link(temporary, path)
	if err == unix.EPERM || err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		err = unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	switch err {
	case nil:
		return nil
	case unix.EEXIST:
		return existsError(path)
	}
	return fmt.Errorf("naming the formatted file %s: %w", path, err)
}

// allocator is a file whose space can be reserved.
type allocator interface {
	Allocate(offsetBytes, lengthBytes uint64) error
}

// reserve reserves the zones before the grid. Where the file system cannot, the zones are to be
// written in full, which reserves them as well.
func reserve(file allocator, lengthBytes uint64) (writeZeros bool, err error) {
	err = file.Allocate(0, lengthBytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return true, nil
	}
	return false, err
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

// fillFile writes an empty replica into an open file or block device, and makes it durable. path is
// for the messages.
func fillFile(warnings io.Writer, file *posix.DataFile, path string, l *limits.Limits, format *config.Format) error {
	layout := datafile.NewLayout(l)
	memory := arena.New()
	defer memory.Close()
	scratch := memory.Bytes(uint64(l.MessageBytesMax), 4096, "format")
	writeLog := !format.Development
	var err error
	if file.IsBlockDevice() {
		size, err := file.SizeBytes()
		if err != nil {
			return err
		}
		if size < layout.GridAt+uint64(l.BlockBytes) {
			return &statusError{exitNoSpace, fmt.Errorf(
				"formatting %s: no space left: the device has %d MiB, a data file begins with %d MiB; name a larger one",
				path, size>>20, layout.GridAt>>20)}
		}
		// A partition table, a file system or a data file, also one of the reference, has something in
		// these bytes.
		blank, err := isBlank(file, scratch)
		if err != nil {
			return fmt.Errorf("reading the beginning of %s: %w", path, err)
		}
		if !blank {
			return fmt.Errorf("%s: the device is not blank: format never overwrites; name another, or, if nobody needs what it holds, "+
				"write zeros over its first %d KiB",
				path, len(scratch)>>10)
		}
	} else {
		var stat unix.Statfs_t
		if unix.Fstatfs(file.Fd, &stat) == nil && stat.Type == unix.TMPFS_MAGIC {
			fmt.Fprintf(warnings, "warning: %s is on a tmpfs: the data file is lost when the machine stops\n", path)
		}
		writeZeros := false
		if writeZeros, err = reserve(file, layout.GridAt); writeZeros {
			fmt.Fprintf(warnings, "warning: the file system of %s cannot reserve space (fallocate): writing zeros instead, which takes longer\n",
				path)
			writeLog = true
		}
	}
	if err == nil {
		err = datafile.Format(file, l, &datafile.FormatOptions{
			Cluster:       format.Cluster,
			Replica:       uint8(format.Replica),
			ReplicasCount: uint8(format.ReplicaCount),
			WriteLog:      writeLog,
		}, scratch)
	}
	if err == nil {
		err = file.Sync()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC):
		return &statusError{exitNoSpace, fmt.Errorf(
			"formatting %s: no space left on the disk: a data file begins with %d MiB; free some, or name another disk", path, layout.GridAt>>20)}
	case errors.Is(err, unix.EFBIG):
		return fmt.Errorf("formatting %s: %w: raise the limit on file sizes (ulimit -f), or name a file system that takes larger files", path,
			err)
	}
	return fmt.Errorf("formatting %s: %w", path, err)
}
