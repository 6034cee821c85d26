package config

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ClusterKeyBytes is the size of a key that the replicas of a cluster share.
const ClusterKeyBytes = 32

const (
	clusterKeysMax      = 2 // while one is replaced by another
	clusterKeyFileBytes = 64 << 10
)

// LoadClusterKeys reads the file of a cluster's key, if one is set: one key, or two while the key
// is replaced. The first one is for what this replica begins; both are accepted.
//
// error: the file cannot be read, or other users can read or change it, or ParseClusterKeys
// refuses its text. No error has a byte of a key.
func LoadClusterKeys(setting Setting) (keys [][ClusterKeyBytes]byte, err error) {
	if !setting.IsSet() {
		return nil, nil
	}
	path := setting.Text
	// Without O_NONBLOCK, the open of a pipe would wait for its writer.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, setting.fail(fmt.Errorf("%w: make it with ledger keygen %s on one replica, and copy it to the others", unwrapPath(err), path))
	case err != nil:
		return nil, setting.fail(fmt.Errorf("%w: let the user of the server read it", unwrapPath(err)))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, setting.fail(unwrapPath(err))
	}
	if err := CheckClusterKeyMode(path, info.Mode()); err != nil {
		return nil, setting.fail(err)
	}
	text, err := io.ReadAll(io.LimitReader(file, clusterKeyFileBytes+1))
	if err != nil {
		return nil, setting.fail(unwrapPath(err))
	}
	if len(text) > clusterKeyFileBytes {
		return nil, setting.fail(fmt.Errorf("must hold at most %s: two keys of %d hexadecimal digits, a line each",
			sizeWords(clusterKeyFileBytes), 2*ClusterKeyBytes))
	}
	return ParseClusterKeys(path, string(text))
}

// CheckClusterKeyMode refuses a file that is no regular one, or that other users can read or
// change.
func CheckClusterKeyMode(path string, mode os.FileMode) error {
	switch {
	case !mode.IsRegular():
		return errors.New("must be a regular file, as ledger keygen makes it")
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("has mode %04o, so other users can read or change the key of the cluster: chmod 600 %s; if a stranger may have "+
			"read it, replace the key", mode.Perm(), path)
	}
	return nil
}

// ParseClusterKeys reads the text of a key file: one or two lines of 64 hexadecimal digits. Blank
// lines, and lines that begin with #, are ignored. path is for errors.
func ParseClusterKeys(path, text string) (keys [][ClusterKeyBytes]byte, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, clusterKeyFileBytes+1)
	number, firstAt := 0, 0
	fail := func(format string, arguments ...any) error {
		return &Error{Origin: fmt.Sprintf("%s:%d", path, number), Err: fmt.Errorf(format, arguments...)}
	}
	for lines.Scan() {
		number++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if len(keys) == clusterKeysMax {
			return nil, fail("is a third key: must be one key, or two while one is replaced by the other")
		}
		if len(line) != 2*ClusterKeyBytes {
			return nil, fail("has %d characters: must be a key of %d hexadecimal digits, as ledger keygen makes it", len(line), 2*ClusterKeyBytes)
		}
		var key [ClusterKeyBytes]byte
		if _, err := hex.Decode(key[:], []byte(line)); err != nil {
			at := strings.IndexFunc(line, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
			return nil, fail("character %d is none of 0 to 9 and a to f: must be a key of %d hexadecimal digits, as ledger keygen makes it", at+1,
				2*ClusterKeyBytes)
		}
		switch {
		case key == [ClusterKeyBytes]byte{}:
			return nil, fail("is a key of zeros, which anybody can guess: must be a key as ledger keygen makes it")
		case len(keys) == 1 && keys[0] == key:
			return nil, fail("repeats the key of line %d: must be another key, or be removed", firstAt)
		}
		keys, firstAt = append(keys, key), number
	}
	if len(keys) == 0 {
		return nil, &Error{Origin: path, Err: fmt.Errorf("has no key: must have a line of %d hexadecimal digits, as ledger keygen makes it",
			2*ClusterKeyBytes)}
	}
	return keys, nil
}

// unwrapPath leaves out the path and the system call of an error about a file: the setting has the
// path.
func unwrapPath(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
