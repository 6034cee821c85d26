package lint

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// blobBytesMax is more than the largest recording of testdata.
const blobBytesMax = 1 << 20

// blobs finds files that are built or too large among names.
func blobs(root string, names []string) (findings []string, err error) {
	for _, name := range names {
		file, err := os.Open(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, but not yet committed
		}
		if err != nil {
			return nil, err
		}
		status, err := file.Stat()
		if err != nil {
			return nil, err
		}
		head := make([]byte, 4)
		_, _ = io.ReadFull(file, head)
		_ = file.Close()
		switch {
		case !status.Mode().IsRegular():
		case string(head) == "\x7fELF":
			findings = append(findings, fmt.Sprintf("%s: is built: git rm --cached it, and add it to .gitignore", name))
		case status.Size() > blobBytesMax:
			findings = append(findings, fmt.Sprintf("%s: has %d bytes, at most %d fit: pack it, or make it where it is needed",
				name, status.Size(), blobBytesMax))
		}
	}
	return findings, nil
}

// Goal: what is committed is source.
func TestBlobs(t *testing.T) {
	command := exec.Command("git", "ls-files", "-z")
	command.Dir = filepath.Join("..", "..")
	command.Stderr = &bytes.Buffer{}
	names, err := command.Output()
	if err != nil {
		t.Skipf("this is no checkout of git: %v %s", err, command.Stderr)
	}
	findings, err := blobs(command.Dir, strings.Split(strings.Trim(string(names), "\x00"), "\x00"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, findings)
}

// Goal: TestBlobs can fail.
func TestBlobsFinds(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string][]byte{
		"program": []byte("\x7fELF and so on"), "largest": make([]byte, blobBytesMax), "larger": make([]byte, blobBytesMax+1), "empty": nil,
	} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	findings, err := blobs(root, []string{"program", "largest", "larger", "empty", "deleted"})
	if err != nil {
		t.Fatal(err)
	}
	finds(t, findings,
		"program: is built: git rm --cached it, and add it to .gitignore",
		"larger: has 1048577 bytes, at most 1048576 fit: pack it, or make it where it is needed",
	)
}
