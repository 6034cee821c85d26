package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/internal/arena"
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
	return formatFile(c.File, format)
}

// formatFile makes a data file; an error leaves none behind.
func formatFile(path string, format *config.Format) error {
	l := limits.Production()
	l.ConnectionsMax = l.ConnectionsMax - l.SessionsMax + format.ClientsMax
	l.SessionsMax = format.ClientsMax
	if err := l.Check(); err != nil {
		return err
	}
	file, err := posix.OpenDataFile(path, posix.OpenOptions{
		Create: true, DirectOptional: format.Development, SectorBytes: l.SectorBytes,
	})
	if errors.Is(err, posix.ErrExists) {
		return fmt.Errorf("%w: format never overwrites; name another, or remove it if nobody needs it", err)
	}
	if err != nil {
		return err
	}
	memory := arena.New()
	defer memory.Close()
	layout := datafile.NewLayout(&l)
	err = file.Allocate(0, layout.GridAt)
	if err == nil {
		err = datafile.Format(file, &l, &datafile.FormatOptions{
			Cluster:       format.Cluster,
			Replica:       uint8(format.Replica),
			ReplicasCount: uint8(format.ReplicaCount),
			WriteLog:      !format.Development,
		}, memory.Bytes(uint64(l.MessageBytesMax), 4096, "format"))
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		return nil
	}
	_ = os.Remove(path) // half a data file is of no use to anybody
	if errors.Is(err, unix.ENOSPC) {
		return &statusError{exitNoSpace, fmt.Errorf("formatting %s: no space left on the disk: a data file begins with %d MiB; free some, or name another disk", path, layout.GridAt>>20)}
	}
	if errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("formatting %s: %w: raise the limit on file sizes (ulimit -f), or name a file system that takes larger files", path, err)
	}
	return fmt.Errorf("formatting %s: %w", path, err)
}
