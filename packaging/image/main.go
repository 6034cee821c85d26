// image packs the program into an OCI image, without a daemon: one layer with the static program,
// one with a folder for the data file, and a configuration. It writes the image as an archive that
// docker load, podman load and skopeo read. The same program gives the same bytes, because all
// times are that of the commit.
//
//	image -program=FILE -architecture=amd64|arm64 -version=V -time=SECONDS -out=FILE.tar
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is nobody's number in the image: it has no password file, and owns the folder of the data.
const user = 65532

// options of an image.
type options struct {
	program      string // path of the static program
	architecture string
	version      string
	time         time.Time // of everything in the image
}

func main() {
	var o options
	var seconds int64
	var out string
	flag.StringVar(&o.program, "program", "", "path of the static program")
	flag.StringVar(&o.architecture, "architecture", "amd64", "amd64 or arm64")
	flag.StringVar(&o.version, "version", "", "version of the program")
	flag.Int64Var(&seconds, "time", 0, "time of the commit, in seconds")
	flag.StringVar(&out, "out", "", "archive to write")
	flag.Parse()
	o.time = time.Unix(seconds, 0).UTC()
	if err := write(&o, out); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// write the image to an archive.
func write(o *options, out string) error {
	image, err := build(o)
	if err != nil {
		return err
	}
	tag, err := name.NewTag("ledger:" + o.version)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(out, tag, image)
}

// build the image: layers and configuration.
func build(o *options) (v1.Image, error) {
	program, err := os.ReadFile(o.program)
	if err != nil {
		return nil, err
	}
	image := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	for _, files := range [][]file{
		{{header: tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o700, Uid: user, Gid: user}}},
		{{header: tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755}},
			{header: tar.Header{Name: "usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755}},
			{header: tar.Header{Name: "usr/bin/ledger", Typeflag: tar.TypeReg, Mode: 0o755}, content: program}},
	} {
		layer, err := layerOf(files, o.time)
		if err != nil {
			return nil, err
		}
		history := v1.History{Created: v1.Time{Time: o.time}, CreatedBy: "image"}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: history}); err != nil {
			return nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", o.architecture, v1.Time{Time: o.time}
	config.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/ledger"}, Cmd: []string{"--help"}, User: fmt.Sprint(user), WorkingDir: "/data",
		Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"3000/tcp": {}},
		Labels: map[string]string{"org.opencontainers.image.title": "ledger", "org.opencontainers.image.version": o.version},
	}
	return mutate.ConfigFile(image, config)
}

// file of a layer.
type file struct {
	header  tar.Header
	content []byte
}

func layerOf(files []file, at time.Time) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for i := range files {
		f := &files[i]
		f.header.ModTime, f.header.Size, f.header.Format = at, int64(len(f.content)), tar.FormatUSTAR
		if err := w.WriteHeader(&f.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil })
}
