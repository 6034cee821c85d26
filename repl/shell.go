package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"ledger/client"
	"ledger/patient"
	"ledger/wire"
)

// Options of a shell.
type Options struct {
	Addresses    []string      // of the replicas, host:port each
	Cluster      wire.U128     // the cluster's id
	Format       Format        // of the results
	Timeout      time.Duration // of a statement; 0 waits for ever
	AllowRefused bool          // a statement whose events are refused has not failed
	Verbose      bool          // tell of each statement how long it took
	Out          *os.File      // takes the results
	Messages     io.Writer     // takes errors and notes
}

// ErrFailed says that statements failed. What was wrong with each is among the messages.
var ErrFailed = errors.New("statements failed")

// session is a client, with what its server told of its limits.
type session interface {
	database
	BodyBytesMax() uint32
	Close()
}

type clientSession struct{ *client.Client }

func (s clientSession) BodyBytesMax() uint32 { return s.Session().BodyBytesMax() }

func openClient(ctx context.Context, options client.Options) (session, error) {
	c, err := client.New(ctx, options)
	if err != nil {
		return nil, err
	}
	return clientSession{c}, nil
}

func newRunner(options Options, source string) *runner {
	return &runner{
		Connection: patient.Connection[session]{Options: client.Options{Addresses: options.Addresses, Cluster: options.Cluster},
			Open: openClient, Messages: options.Messages, Timeout: options.Timeout, Late: patient.LateAfter},
		parser:  newParser(verbs()),
		printer: &printer{out: options.Out, format: options.Format, width: func() int { width, _ := sizeOf(options.Out); return width }},
		source:  source, allowRefused: options.AllowRefused, verbose: options.Verbose,
	}
}

// sizeOf is the size of a terminal; 0 for a file that is none. A terminal that does not tell its
// size counts as a usual one.
func sizeOf(file *os.File) (width, height int) {
	width, height, err := term.GetSize(int(file.Fd()))
	switch {
	case err != nil:
		return 0, 0
	case width <= 0 || height <= 0:
		return 80, 24
	}
	return width, height
}

// Script runs the statements of in, which messages call source.
//
// error: ErrFailed if a statement failed, or the reason why not all were run.
func Script(ctx context.Context, options Options, source string, in io.Reader) error {
	r := newRunner(options, source)
	defer r.Close()
	if err := r.stream(ctx, in); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	if r.failedCount > 0 {
		return ErrFailed
	}
	return nil
}

const (
	prompt     = "ledger> "
	promptMore = "   ...> "
)

// lines is where a shell reads from: an editor, or a test.
type lines interface {
	line(prompt, before string) (text string, isPasted bool, err error)
}

// shell is a session at a terminal.
type shell struct {
	*runner
	lines   lines
	history *history
}

// Interactive reads statements from a terminal until the user leaves, and echoes them to screen.
// The file named historyPath keeps them; "" keeps none.
func Interactive(ctx context.Context, options Options, in, screen *os.File, historyPath string) error {
	r := newRunner(options, "")
	defer r.Close()
	past, err := openHistory(historyPath)
	if err != nil {
		fmt.Fprintf(options.Messages, "no history of earlier sessions: %v\n", err)
	}
	e, err := newEditor(in, screen, func() (width, height int) { return sizeOf(screen) }, past, r.completeAt)
	if err != nil {
		return err
	}
	defer e.close()
	defer restoreOnSignal(e)()
	fmt.Fprintf(options.Messages, "Cluster %s at %s.\nhelp lists the statements. Tab completes, ctrl-C cancels, ctrl-D leaves.\n",
		options.Cluster, strings.Join(options.Addresses, ","))
	return (&shell{r, e, past}).loop(ctx)
}

// restoreOnSignal restores the terminal before a signal ends the process. SIGINT does not end it:
// it cancels a statement that runs.
func restoreOnSignal(e *editor) (stop func()) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, os.Interrupt)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for received := range signals {
			e.close()
			signal.Reset(received)
			_ = unix.Kill(unix.Getpid(), received.(unix.Signal))
		}
	}()
	return func() { signal.Stop(ignored); signal.Stop(signals); close(signals) }
}

// loop reads and runs statements until the end of the input.
func (s *shell) loop(ctx context.Context) error {
	for {
		text, err := s.read()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.Messages)
			return nil
		case errors.Is(err, errInterrupted):
			continue
		case errors.Is(err, errLongLine):
			fmt.Fprintln(s.Messages, err)
			continue
		case err != nil:
			return fmt.Errorf("reading the terminal: %w", err)
		}
		if err := s.history.add(text); err != nil {
			fmt.Fprintf(s.Messages, "this session's statements are not kept: %v\n", err)
			s.history.path = ""
		}
		if err := s.interruptible(ctx, text); err != nil {
			return err
		}
	}
}

// interruptible runs statements that ctrl-C cancels. The ones behind a cancelled statement do not
// run.
func (s *shell) interruptible(ctx context.Context, text string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return s.text(ctx, text, position{0, 1, 1})
}

// read reads statements, in one line or several.
//
// Enter ends a statement that is complete. One that is not goes on in the next line, and then ends
// with a semicolon or with an empty line. So do several lines that are pasted, because the first
// line alone may be another statement than the user means. A line that ends in a backslash goes on.
func (s *shell) read() (string, error) {
	text, isOpen := "", false
	for {
		which := prompt
		if isOpen {
			which = promptMore
		}
		line, isPasted, err := s.lines.line(which, text)
		if err != nil {
			if errors.Is(err, io.EOF) && text != "" {
				_ = s.history.add(text) // it is not run, and not lost
			}
			return "", err
		}
		isEmpty := strings.TrimSpace(line) == ""
		continued, isContinued := strings.CutSuffix(strings.TrimRight(line, " \t"), "\\")
		if isContinued {
			line = continued
		}
		text += line + "\n"
		switch {
		case isContinued || isPasted:
			isOpen = true
		case isOpen && (isEmpty || s.isEnded(text)), !isOpen && !s.isCut(text):
			return text, nil
		default:
			isOpen = true
		}
	}
}

// isEnded tells whether the last statement of a text ends with a semicolon.
func (s *shell) isEnded(text string) bool {
	last := tokenEnd
	for lexer := newLexer(text); ; {
		one := lexer.next()
		if one.kind == tokenEnd {
			return last == tokenSemicolon
		}
		last = one.kind
	}
}

// isCut tells whether the last statement of a text needs more.
func (s *shell) isCut(text string) bool {
	all := s.parse(text)
	return len(all) > 0 && all[len(all)-1].err != nil && all[len(all)-1].err.isOpen
}
