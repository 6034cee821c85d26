package frames

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// step is one line of a recording.
type step struct {
	Seq      int    `json:"seq"`
	Conn     int    `json:"conn"`
	Dir      string `json:"dir"`
	Note     string `json:"note"`
	Header   string `json:"header"`
	Body     string `json:"body"`
	BodyGzip string `json:"body_gzip_base64"`
	Raw      string `json:"raw"`
	Event    string `json:"event"`

	frame frame  // header and body; nil without
	raw   []byte // an incomplete frame
}

func (s *step) sent() bool   { return s.Dir == "c2s" }
func (s *step) silent() bool { return strings.HasPrefix(s.Event, "no data within") }

func (s *step) closed() bool { return s.Event == "closed by server (EOF)" }

// load reads both files of a scenario and merges them in the order of recording.
func load(folder, scenario string) ([]*step, error) {
	var steps []*step
	for _, direction := range []string{"c2s", "s2c"} {
		file, err := os.Open(filepath.Join(folder, scenario+"."+direction+".jsonl"))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			one := new(step)
			if err := json.Unmarshal(lines.Bytes(), one); err != nil {
				return nil, fmt.Errorf("%s: %w", file.Name(), err)
			}
			if err := one.decode(); err != nil {
				return nil, fmt.Errorf("%s, seq %d: %w", file.Name(), one.Seq, err)
			}
			steps = append(steps, one)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
	}
	sort.SliceStable(steps, func(i, j int) bool { return steps[i].Seq < steps[j].Seq })
	return steps, nil
}

func (s *step) decode() error {
	if s.Event != "" {
		return nil
	}
	if s.Raw != "" {
		var err error
		s.raw, err = hex.DecodeString(s.Raw)
		return err
	}
	header, err := hex.DecodeString(s.Header)
	if err != nil || len(header) != headerBytes {
		return fmt.Errorf("a header of %d bytes (%v)", len(header), err)
	}
	body, err := hex.DecodeString(s.Body)
	if err != nil {
		return err
	}
	if s.BodyGzip != "" {
		packed, err := base64.StdEncoding.DecodeString(s.BodyGzip)
		if err != nil {
			return err
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(io.LimitReader(unpacked, messageBytesMax)); err != nil {
			return err
		}
	}
	s.frame = append(frame(header), body...)
	return nil
}
