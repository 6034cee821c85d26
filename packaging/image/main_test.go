package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entries of all layers of an image, in order; the contents of regular files are put into root.
func entries(t *testing.T, image v1.Image, root string) (list []string) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		stream, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(stream); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%s %o %d", h.Name, h.Mode, h.Uid))
			path := filepath.Join(root, h.Name)
			if h.Typeflag == tar.TypeDir {
				if err := os.MkdirAll(path, 0o755); err != nil {
					t.Fatal(err)
				}
				continue
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, os.FileMode(h.Mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return list
}

// wanted are the entries of every image.
const wanted = "data/ 700 65532\nusr/ 755 0\nusr/bin/ 755 0\nusr/bin/ledger 755 0"

// Goal: an image has the two layers, a user that is not root, and the same bytes each time.
func TestImage(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "program")
	if err := os.WriteFile(program, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	var archives [2][]byte
	for i := range archives {
		out := filepath.Join(folder, fmt.Sprint(i, ".tar"))
		o := options{program: program, architecture: "arm64", version: "1.2.3", time: time.Unix(1_700_000_000, 0).UTC()}
		if err := write(&o, out); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two images of one program differ")
	}
	image, err := tarball.ImageFromPath(filepath.Join(folder, "0.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(entries(t, image, t.TempDir()), "\n"); got != wanted {
		t.Errorf("the layers have\n%s\nwanted\n%s", got, wanted)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532" || config.Architecture != "arm64" || strings.Join(c.Entrypoint, " ") != "/usr/bin/ledger" {
		t.Errorf("the configuration is %+v of %s", c, config.Architecture)
	}
	if err := write(&options{program: filepath.Join(folder, "none"), version: "1"}, filepath.Join(folder, "out.tar")); err == nil {
		t.Error("a program that is not there is packed")
	}
}

// Goal: the program in the image of a release (LEDGER_IMAGE) runs in it, with nothing else there
// and not as root.
func TestReleasedImage(t *testing.T) {
	path := os.Getenv("LEDGER_IMAGE")
	if path == "" {
		t.Skip("LEDGER_IMAGE names no image: packaging/test.sh does")
	}
	image, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if got := strings.Join(entries(t, image, root), "\n"); got != wanted {
		t.Errorf("the layers have\n%s\nwanted\n%s", got, wanted)
	}
	command := exec.Command("/usr/bin/ledger", "version")
	command.Dir = "/"
	if os.Getuid() == 0 {
		for folder := root; folder != "/"; folder = filepath.Dir(folder) {
			_ = os.Chmod(folder, 0o755) // another user has to come here
		}
		command.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	} else {
		command = exec.Command(filepath.Join(root, "usr/bin/ledger"), "version")
	}
	output, err := command.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "ledger ") {
		t.Errorf("the program in the image: %v: %s", err, output)
	}
}
