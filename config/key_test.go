package config

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func keyOf(first byte) (key [ClusterKeyBytes]byte) {
	for i := range key {
		key[i] = first + byte(i)
	}
	return key
}

func lineOf(key [ClusterKeyBytes]byte) string { return hex.EncodeToString(key[:]) }

// Goal: one key or two are read in their order; comments, blank lines, spaces and capitals do not
// matter.
func TestParseClusterKeys(t *testing.T) {
	a, b := keyOf(1), keyOf(100)
	for text, want := range map[string][][ClusterKeyBytes]byte{
		lineOf(a):        {a},
		lineOf(a) + "\n": {a},
		"# of cluster 7\n\n" + lineOf(a) + "\n" + lineOf(b) + "\n":                    {a, b},
		" " + strings.ToUpper(lineOf(b)) + "\t\r\n\n# the old one\n" + lineOf(a) + "": {b, a},
	} {
		keys, err := ParseClusterKeys("k", text)
		if err != nil || len(keys) != len(want) || keys[0] != want[0] || keys[len(keys)-1] != want[len(want)-1] {
			t.Errorf("%q: %x, %v", text, keys, err)
		}
	}
}

// Goal: what is no key is refused by an error that names file, line and the right form, and has
// nothing of a key in it.
func TestParseClusterKeysRefused(t *testing.T) {
	a := lineOf(keyOf(1))
	for _, c := range []struct{ text, want string }{
		{"", "k: has no key: must have a line of 64 hexadecimal digits, as ledger keygen makes it"},
		{"# " + a, "k: has no key: must have a line of 64 hexadecimal digits, as ledger keygen makes it"},
		{"\n" + a[1:], "k:2: has 63 characters: must be a key of 64 hexadecimal digits, as ledger keygen makes it"},
		{a + a, "k:1: has 128 characters: must be a key of 64 hexadecimal digits, as ledger keygen makes it"},
		{a + "\n" + a[:10] + "g" + a[11:], "k:2: character 11 is none of 0 to 9 and a to f: must be a key of 64 hexadecimal digits, as " +
			"ledger keygen makes it"},
		{"#\n\n" + a + "\n" + strings.ToUpper(a), "k:4: repeats the key of line 3: must be another key, or be removed"},
		{a + "\n" + lineOf(keyOf(2)) + "\n" + lineOf(keyOf(3)),
			"k:3: is a third key: must be one key, or two while one is replaced by the other"},
		{strings.Repeat("0", 64), "k:1: is a key of zeros, which anybody can guess: must be a key as ledger keygen makes it"},
	} {
		keys, err := ParseClusterKeys("k", c.text)
		if err == nil || err.Error() != c.want || keys != nil {
			t.Errorf("%q: %x\n got %v\nwant %s", c.text, keys, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), a[:8]) {
			t.Errorf("%q: the error has digits of the key: %v", c.text, err)
		}
	}
}

// Goal: for any text, reading keys ends with one key, two different ones, or an error that names
// the file.
func FuzzParseClusterKeys(f *testing.F) {
	f.Add(lineOf(keyOf(1)))
	f.Add("# x\n" + lineOf(keyOf(1)) + "\r\n" + lineOf(keyOf(2)))
	f.Add("\xff" + strings.Repeat("a", 63))
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseClusterKeys("k", text)
		switch {
		case err != nil && (!strings.HasPrefix(err.Error(), "k") || keys != nil):
			t.Fatalf("%q: %x, %v", text, keys, err)
		case err == nil && (len(keys) == 0 || len(keys) > 2 || len(keys) == 2 && bytes.Equal(keys[0][:], keys[1][:])):
			t.Fatalf("%q: %x", text, keys)
		}
	})
}

// Goal: a file that others can read or change, that is no regular file, that is missing or too
// large, is refused with the way out. A setting that is not set is no key.
func TestLoadClusterKeys(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, mode os.FileMode, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := keyOf(1)
	for _, mode := range []os.FileMode{0o600, 0o400} {
		keys, err := LoadClusterKeys(Flag("cluster-key-file", write("right", mode, lineOf(a))))
		if err != nil || len(keys) != 1 || keys[0] != a {
			t.Errorf("mode %04o: %x, %v", mode, keys, err)
		}
		_ = os.Remove(filepath.Join(folder, "right"))
	}
	if keys, err := LoadClusterKeys(Setting{}); keys != nil || err != nil {
		t.Errorf("no setting: %x, %v", keys, err)
	}
	pipe := filepath.Join(folder, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{write("group", 0o640, lineOf(a)), "has mode 0640, so other users can read or change the key of the cluster: chmod 600 "},
		{write("written", 0o602, lineOf(a)), "has mode 0602, so other users can read or change"},
		{folder, "must be a regular file"},
		{pipe, "must be a regular file"},
		{filepath.Join(folder, "none"), "no such file or directory: make it with ledger keygen "},
		{write("large", 0o600, strings.Repeat("#\n", 40_000)), "must hold at most 64 KiB"},
	} {
		setting := Flag("cluster-key-file", c.path)
		keys, err := LoadClusterKeys(setting)
		if err == nil || keys != nil || !strings.HasPrefix(err.Error(), setting.Origin+": "+c.want) {
			t.Errorf("%s: %x\n got %v\nwant %s", c.path, keys, err, c.want)
		}
	}
	// An error in the text names the line behind the path.
	wrong := write("wrong", 0o600, "\nxyz")
	_, err := LoadClusterKeys(Flag("cluster-key-file", wrong))
	if err == nil || !strings.HasPrefix(err.Error(), wrong+":2: has 3 characters") {
		t.Errorf("a wrong line: %v", err)
	}
}
