package repl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// errInterrupted is the error of a line that ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// lineRunesMax is the length at which the terminal drops what is typed. A paste may be longer.
const lineRunesMax = 4096

// errLongLine is the error of a line of which the end may be missing.
var errLongLine = fmt.Errorf("the line has %d characters or more, so it was not run: paste it, or run it with --file", lineRunesMax)

// editor reads lines from a terminal.
type editor struct {
	in      *os.File
	out     io.Writer
	size    func() (width, height int)
	keys    *keys
	history term.History
	suggest func(text string) completion

	mu       sync.Mutex
	terminal *term.Terminal
	before   string // the lines of the statement that were read before this one
	cooked   unix.Termios
}

// newEditor makes an editor of a terminal, whose mode is restored by close.
func newEditor(in *os.File, out io.Writer, size func() (width, height int), history term.History,
	suggest func(string) completion) (*editor, error) {
	e := &editor{in: in, out: out, size: size, keys: &keys{in: in}, history: history, suggest: suggest}
	mode, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal's mode: %w", err)
	}
	e.cooked = *mode
	e.renew()
	return e, nil
}

// renew begins a new line. What was typed into the last one is given up.
func (e *editor) renew() {
	terminal := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, e.out}, "")
	terminal.History = e.history
	terminal.AutoCompleteCallback = e.complete
	e.mu.Lock()
	e.terminal = terminal
	e.mu.Unlock()
}

// line reads one line. A pasted one is a part of a larger text.
//
// before: the lines of the statement that were read so far.
// error:  io.EOF at the end of the input, errInterrupted after ctrl-C.
func (e *editor) line(prompt, before string) (text string, isPasted bool, err error) {
	e.before = before
	if err := e.setMode(e.raw()); err != nil {
		return "", false, err
	}
	defer func() {
		e.terminal.SetBracketedPasteMode(false)
		err = errors.Join(err, e.setMode(e.running()))
	}()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	go func() {
		for range resized {
			e.resize()
		}
	}()
	defer func() { signal.Stop(resized); close(resized) }()

	e.resize()
	e.terminal.SetPrompt(prompt)
	e.terminal.SetBracketedPasteMode(true)
	text, err = e.terminal.ReadLine()
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		return text, true, nil
	case errors.Is(err, errInterrupted):
		fmt.Fprint(e.out, "^C\r\n")
		e.renew()
	case err == nil && utf8.RuneCountInString(text) >= lineRunesMax:
		return "", false, errLongLine
	}
	return text, false, err
}

func (e *editor) resize() {
	width, height := e.size()
	e.mu.Lock()
	defer e.mu.Unlock()
	if width > 0 {
		_ = e.terminal.SetSize(width, height)
	}
}

// complete handles the Tab key: it inserts what all candidates begin with, and lists them if that
// is nothing new.
func (e *editor) complete(line string, at int, key rune) (newLine string, newAt int, ok bool) {
	if key != '\t' {
		return "", 0, false
	}
	found := e.suggest(e.before + line[:at])
	start := found.start - len(e.before)
	if len(found.candidates) == 0 || start < 0 {
		return line, at, true
	}
	word, prefix := line[start:at], prefixOf(found.candidates)
	if len(found.candidates) > 1 && prefix == word {
		width, _ := e.size()
		_, _ = io.WriteString(e.terminal, inColumns(found.candidates, width))
		return line, at, true
	}
	rest := line[at:]
	if strings.HasSuffix(prefix, " ") && strings.HasPrefix(rest, " ") {
		prefix = strings.TrimSuffix(prefix, " ")
	}
	return line[:start] + prefix + rest, start + len(prefix), true
}

// inColumns writes words into lines of the terminal's width.
func inColumns(words []string, width int) string {
	const gap = 2
	wide := 0
	for _, word := range words {
		wide = max(wide, len(word)+gap)
	}
	perLine := max(1, width/wide)
	var out strings.Builder
	for i, word := range words {
		out.WriteString(word)
		if (i+1)%perLine == 0 || i == len(words)-1 {
			out.WriteByte('\n')
			continue
		}
		out.WriteString(strings.Repeat(" ", wide-len(word)))
	}
	return out.String()
}

// raw is the mode in which each key is read at once, and echoed by the editor.
func (e *editor) raw() unix.Termios {
	mode := e.cooked
	mode.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	mode.Oflag &^= unix.OPOST
	mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	return mode
}

// running is the mode while a statement runs: ctrl-C is a signal, and keys wait for the next line.
func (e *editor) running() unix.Termios {
	mode := e.cooked
	mode.Iflag &^= unix.ICRNL
	mode.Lflag = mode.Lflag&^(unix.ECHO|unix.ECHONL|unix.ICANON|unix.IEXTEN) | unix.ISIG
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	mode.Cc[unix.VQUIT], mode.Cc[unix.VSUSP] = 0, 0 // no keys: they would leave the terminal in this mode
	return mode
}

func (e *editor) setMode(mode unix.Termios) error {
	for {
		err := unix.IoctlSetTermios(int(e.in.Fd()), unix.TCSETSW, &mode)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// close restores the terminal's mode.
func (e *editor) close() { _ = e.setMode(e.cooked) }

// keys reads the terminal's bytes. It ends a line at ctrl-C, and writes keys that terminals send in
// several ways in the one that the editor knows.
type keys struct {
	in      io.Reader
	pending []byte // read and not yet passed on
	partial string // the beginning of a key, at the end of what was read
}

const (
	ctrlC     = 0x03
	ctrlCEnds = "\x05" // ctrl-E: the cursor goes to the end of what is given up
)

// keyForms are pairs: a key as a terminal may send it, and as the editor knows it.
var keyForms = []string{
	"\x1b[1~", "\x01", "\x1b[7~", "\x01", "\x1bOH", "\x01", // Home
	"\x1b[4~", "\x05", "\x1b[8~", "\x05", "\x1bOF", "\x05", // End
	"\x1bOA", "\x1b[A", "\x1bOB", "\x1b[B", "\x1bOC", "\x1b[C", "\x1bOD", "\x1b[D", // arrows
	"\x1b[1;5C", "\x1b[1;3C", "\x1b[1;5D", "\x1b[1;3D", "\x1bf", "\x1b[1;3C", "\x1bb", "\x1b[1;3D", // by words
}

// cutPartial cuts the beginning of a key off the end of text.
func cutPartial(text string) (whole, partial string) {
	at := strings.LastIndexByte(text, '\x1b')
	if at < 0 {
		return text, ""
	}
	for i := 0; i < len(keyForms); i += 2 {
		if len(text)-at < len(keyForms[i]) && strings.HasPrefix(keyForms[i], text[at:]) {
			return text[:at], text[at:]
		}
	}
	return text, ""
}

// Read implements io.Reader.
func (k *keys) Read(out []byte) (int, error) {
	for len(k.pending) == 0 {
		buffer := make([]byte, len(out))
		count, err := k.in.Read(buffer)
		if count == 0 {
			return 0, err
		}
		text := ""
		text, k.partial = cutPartial(k.partial + string(buffer[:count]))
		k.pending = []byte(strings.NewReplacer(keyForms...).Replace(text))
	}
	ready := k.pending
	if end := bytes.IndexByte(k.pending, ctrlC); end == 0 {
		k.pending = k.pending[1:]
		return copy(out, ctrlCEnds), errInterrupted
	} else if end > 0 {
		ready = k.pending[:end]
	}
	count := copy(out, ready)
	k.pending = k.pending[count:]
	return count, nil
}
