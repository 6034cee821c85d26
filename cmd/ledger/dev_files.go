package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
)

// file of a replica in a folder.
func (d *devCluster) file(folder string, index int) string {
	return filepath.Join(folder, fmt.Sprintf("%d.data", index))
}

// makingSuffix stands behind the folder's name while its files are made.
const makingSuffix = ".making"

// makeFiles makes the folder with the files of all replicas, or checks the one that is there. The
// folder gets its name when all files are whole. So files that are missing in it were lost, and a
// new one in the place of a lost one would have forgotten what its replica acknowledged.
func (d *devCluster) makeFiles() error {
	entries, err := os.ReadDir(d.folder)
	switch {
	case err == nil && len(entries) > 0:
		return d.checkFiles()
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: with --replicas, name the folder of the data files", err)
	}
	making := d.folder + makingSuffix
	for i := range limits.ReplicasMax { // of a command that was killed
		_ = os.Remove(d.file(making, i))
	}
	if err := os.Mkdir(making, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for i := range d.replicas {
		format, err := devFormat(i, d.replicas)
		if err == nil {
			err = formatFile(d.streams.err, d.file(making, i), format)
		}
		if err != nil {
			return err
		}
	}
	if err := os.Rename(making, d.folder); err != nil { // over an empty folder as well
		return err
	}
	d.say("made %s with the files of %d replicas", d.folder, d.replicas)
	return nil
}

// checkFiles refuses a folder that has other files than those of this cluster.
func (d *devCluster) checkFiles() error {
	l := limits.Development()
	for i := range limits.ReplicasMax {
		path := d.file(d.folder, i)
		file, err := posix.OpenReadOnly(path, l.SectorBytes)
		if i >= d.replicas && errors.Is(err, posix.ErrMissing) {
			continue
		}
		if errors.Is(err, posix.ErrMissing) {
			return fmt.Errorf("%s does not exist, and a new file in its place would have forgotten what replica %d acknowledged: name another "+
				"folder, or remove all of %s", path, i, d.folder)
		}
		if err != nil {
			return err
		}
		index, count, ok := replica.PositionOf(file, &l)
		_ = file.Close()
		if ok && (int(index) != i || int(count) != d.replicas) {
			return fmt.Errorf("--replicas=%d: %s is the file of replica %d of %d: use --replicas=%d, or name another folder",
				d.replicas, path, index, count, count)
		}
	}
	return nil
}

// makeKey makes the key of the cluster if it is missing. All replicas start at once, so those of a
// folder without a key can have one from now on.
func (d *devCluster) makeKey() error {
	path := filepath.Join(d.folder, "cluster.key")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := writeKeyFile(path, keyLine(newKey())); err != nil {
			return err
		}
	}
	d.further = append(d.further, "--cluster-key-file="+path)
	return nil
}
