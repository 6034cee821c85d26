package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"ledger/admin"
	"ledger/config"
)

// topCommand shows the state of a server on a terminal, again and again.
type topCommand struct {
	Metrics  string `default:"127.0.0.1:3002" placeholder:"LIST" help:"Metrics addresses of the servers (start --metrics-address); n shows the next one."`
	Interval string `default:"2s" help:"Time between two looks, from which rates, shares and percentiles follow."`
}

// Sequences of a terminal.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	screenLeave = "\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineEnd     = "\x1b[K\r\n" // in raw mode, a line feed alone does not return
	screenRest  = "\x1b[J"
)

// Run implements the command.
func (c *topCommand) Run(s *streams) error {
	addresses, interval, err := metricsFlags(c.Metrics, c.Interval)
	if err != nil {
		return err
	}
	in, out := int(s.in.Fd()), int(s.out.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return errors.New("top needs a terminal for its input and output: ledger status writes the same once")
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("entering the terminal's raw mode: %w", err)
	}
	fmt.Fprint(s.out, screenEnter)
	defer func() {
		fmt.Fprint(s.out, screenLeave)
		_ = term.Restore(in, before) // the terminal is gone, or has its mode back
	}()
	resized, ended := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	signal.Notify(ended, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(resized)
	defer signal.Stop(ended)
	keys := make(chan byte)
	go readKeys(s.in, keys)
	looks := make(chan look)
	t := &top{addresses: addresses, sorted: -1}
	go t.watch(interval, looks)
	for {
		width, height, err := term.GetSize(out)
		if err != nil || width <= 0 || height <= 0 { // a serial console does not know its size
			width, height = screenColumns, 24
		}
		if _, err := io.WriteString(s.out, t.screen(width, height)); err != nil {
			return nil // the terminal is gone
		}
		select {
		case key, ok := <-keys:
			if !ok || !t.press(key) {
				return nil
			}
		case l := <-looks:
			t.take(l)
		case <-resized:
		case <-ended:
			return nil
		}
	}
}

// readKeys sends what is typed, and closes keys at the end of the input.
func readKeys(in io.Reader, keys chan<- byte) {
	defer close(keys)
	var one [1]byte
	for {
		if count, err := in.Read(one[:]); err != nil || count == 0 {
			return
		}
		keys <- one[0]
	}
}

// look at one server.
type look struct {
	server int
	answer
}

// top is what is shown. One goroutine changes it.
type top struct {
	addresses config.Addresses
	server    int // index of the shown one
	figures   *figures
	before    []*admin.Status // of each server, the last look
	problem   string          // why there are no new figures
	shown     int             // table
	sorted    int             // column; -1: the order of the server
	reverse   bool
	paused    bool
	help      bool
}

// watch looks at all servers in each interval, for ever.
func (t *top) watch(interval time.Duration, looks chan<- look) {
	for {
		for i, a := range lookAt(t.addresses) {
			looks <- look{i, a}
		}
		time.Sleep(interval)
	}
}

// take a look. While the display pauses, looks of the shown server are left out.
func (t *top) take(l look) {
	if t.before == nil {
		t.before = make([]*admin.Status, len(t.addresses))
	}
	then := t.before[l.server]
	if l.err == nil {
		t.before[l.server] = l.status
	}
	if l.server != t.server || t.paused {
		return
	}
	if l.err != nil {
		t.problem = l.err.Error()
		return
	}
	t.figures, t.problem = newFigures(then, l.status), ""
}

// press a key. It returns false to end.
func (t *top) press(key byte) (more bool) {
	const interrupt, endOfFile = 3, 4
	switch {
	case key == 'q' || key == interrupt || key == endOfFile:
		return false
	case key >= '1' && int(key-'1') < len(tableMakers):
		t.shown, t.sorted, t.reverse = int(key-'1'), -1, false
	case key == 's':
		t.sorted = (t.sorted+2)%(t.columns()+1) - 1
	case key == 'r':
		t.reverse = !t.reverse
	case key == 'p' || key == ' ':
		t.paused = !t.paused
	case key == 'n':
		t.server = (t.server + 1) % len(t.addresses)
		t.figures, t.problem, t.paused = nil, "", false
	case key == '?' || key == 'h':
		t.help = !t.help
	}
	return true
}

// columns of the shown table.
func (t *top) columns() int {
	if t.figures == nil {
		return 0
	}
	shown := tableMakers[t.shown].make(t.figures)
	return len(shown.columns)
}

// screen draws everything in width columns and height lines.
func (t *top) screen(width, height int) string {
	var lines []string
	switch {
	case t.figures == nil && t.problem == "":
		lines = append(lines, "waiting for "+t.addresses[t.server].String())
	case t.figures == nil:
		lines = append(lines, t.problem)
	default:
		lines = append(lines, t.figures.head()...)
		if t.problem != "" {
			lines = append(lines, "older figures: "+t.problem)
		}
		shown := tableMakers[t.shown].make(t.figures)
		shown.sortBy(t.sorted, t.reverse)
		lines = append(lines, "")
		lines = append(lines, shown.lines(width, t.sorted)...)
	}
	if t.help {
		lines = topHelp()
	}
	foot := t.foot()
	lines = lines[:min(len(lines), max(0, height-2))]
	for len(lines) < height-2 {
		lines = append(lines, "")
	}
	var b strings.Builder
	b.WriteString(screenHome)
	for _, line := range lines {
		b.WriteString(cut(line, width) + lineEnd)
	}
	b.WriteString(lineEnd + cut(foot, width) + screenRest)
	return b.String()
}

// foot tells the keys.
func (t *top) foot() string {
	state := ""
	if t.paused {
		state = "PAUSED  "
	}
	return state + "1-7 table  s sort  r reverse  p pause  n next server  h help  q quit"
}

// topHelp explains the keys.
func topHelp() []string {
	lines := []string{"keys", ""}
	for i, maker := range tableMakers {
		lines = append(lines, fmt.Sprintf("%d  %s", i+1, maker.name))
	}
	return append(lines, "s  sort by the next column; numbers from the largest (* marks the column)", "r  reverse the order",
		"p  pause, and go on", "n  the next server of --metrics", "h  this help, and back", "q  quit")
}
