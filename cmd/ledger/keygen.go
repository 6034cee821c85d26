package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ledger/config"
	"ledger/peer"
)

type keygenCommand struct {
	File string `arg:"" optional:"" help:"The file to make, with mode 0600. Default: the key is written to stdout, for a store of secrets."`
}

// Help implements kong.HelpProvider.
func (c *keygenCommand) Help() string {
	return examples("ledger keygen cluster.key", "ledger keygen")
}

// Run implements the command.
func (c *keygenCommand) Run(s *streams) error {
	key := newKey()
	line, print := keyLine(key), peer.KeyPrint(key)
	if c.File == "" {
		if _, err := s.out.WriteString(line); err != nil {
			return fmt.Errorf("writing the key: %w", err)
		}
		fmt.Fprintf(s.err, "key %016x\n", print)
		return nil
	}
	if err := writeKeyFile(c.File, line); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "made %s with key %016x: copy it to each replica, and start all of them with --cluster-key-file; if it is to replace "+
		"another key, give all replicas a file with both first, the old one above\n", c.File, print)
	return nil
}

// newKey draws a key.
func newKey() (key [config.ClusterKeyBytes]byte) {
	_, _ = rand.Read(key[:]) // it never fails: the process ends instead
	return key
}

// keyLine is a key as it is in its file.
func keyLine(key [config.ClusterKeyBytes]byte) string { return hex.EncodeToString(key[:]) + "\n" }

// writeKeyFile makes a file that nobody else can read, and makes it durable. After an error there
// is none.
func writeKeyFile(path, line string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w: keygen never overwrites, because the cluster may need the key that is there: name another file; "+
			"docs/operations.md tells how a key is replaced", path, fs.ErrExist)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
