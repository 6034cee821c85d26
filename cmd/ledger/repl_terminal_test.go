package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal with a process on it, and a person in front of it.
type pty struct {
	*exec.Cmd
	master *os.File

	mu     sync.Mutex
	screen string // all that was written
	seen   int    // what the person has seen of it
}

// onPty starts a command of ours on a terminal of 100 columns.
func onPty(t *testing.T, environment []string, arguments ...string) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	defer slave.Close()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	s := &pty{Cmd: command(environment, arguments...), master: master}
	s.Stdin, s.Stdout, s.Stderr = slave, slave, slave
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	go func() {
		for buffer := make([]byte, 4096); ; {
			count, err := master.Read(buffer)
			s.mu.Lock()
			s.screen += string(buffer[:count])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// sees waits until text is on the screen, behind what was seen before, and returns what stood
// before it.
func (s *pty) sees(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); ; {
		s.mu.Lock()
		screen := s.screen[s.seen:]
		before, _, ok := strings.Cut(screen, text)
		if ok {
			s.seen += len(before) + len(text)
		}
		s.mu.Unlock()
		if ok {
			return before
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come; there is %q", text, screen)
		}
		time.Sleep(time.Millisecond)
	}
}

// types sends keys.
func (s *pty) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// does types a statement and waits for a part of its result and the next prompt.
func (s *pty) does(t *testing.T, keys, want string) {
	t.Helper()
	s.types(t, keys)
	s.sees(t, want)
	s.sees(t, "ledger> ")
}

// mode is the mode of the terminal.
func (s *pty) mode(t *testing.T) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(s.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

const (
	tab, enter, ctrlC, ctrlD = "\t", "\r", "\x03", "\x04"
	left, up, home           = "\x1b[D", "\x1b[A", "\x1b[1~"
)

// Goal: a person types, completes, edits, recalls and pastes statements, also those of an earlier
// session, and gets tables. The terminal is left as it was found.
func TestReplTerminal(t *testing.T) {
	s := harness(t, formatted(t))
	state := t.TempDir()
	environment := []string{"XDG_STATE_HOME=" + state}
	shell := onPty(t, environment, "repl", "--addresses="+s.port)
	before := shell.mode(t)
	shell.sees(t, "Cluster 0 at 127.0.0.1:"+s.port)
	shell.sees(t, "ledger> ")

	// Completion of verbs, fields and flags.
	shell.does(t, "create_a"+tab+"id=1 led"+tab+"1 cod"+tab+"1 fl"+tab+"hi"+tab+enter, "created")
	shell.types(t, "create_"+tab)
	shell.sees(t, "create_accounts    create_transfers")
	shell.sees(t, "ledger> create_")
	shell.does(t, "a"+tab+"id=2 ledger=1 code=1"+enter, "created")
	// Several lines.
	shell.types(t, "create_transfers"+enter)
	shell.sees(t, "   ...> ")
	shell.types(t, "id=1 debit_account_id=1 credit_account_id=2"+enter)
	shell.sees(t, "   ...> ")
	shell.does(t, "amount=10 ledger=1 code=1;"+enter, "created")
	// Editing: a wrong number is corrected in the middle of the line.
	shell.does(t, "lookup_accounts id=9"+left+"\x1b[3~"+"1"+home+"\x05"+enter, "history")
	// An error tells its place; the line is recalled and corrected.
	shell.does(t, "lookup_accounts idd=2"+enter, "line 1, column 17: unknown field \"idd\"")
	shell.does(t, up+left+left+"\x7f"+enter, "zero in all rows")
	// A paste of two lines is one text, and runs when it was looked at.
	shell.types(t, "\x1b[200~explain exists;\rexplain created\x1b[201~")
	shell.sees(t, "   ...> ")
	if said := shell.sees(t, "explain created"); strings.Contains(said, "means:") {
		t.Errorf("a part of a paste ran: %q", said)
	}
	shell.types(t, enter)
	shell.sees(t, "   ...> ")
	shell.does(t, enter, "The object was created.")
	// ctrl-C forgets what is typed.
	shell.types(t, "create_accounts id=3 ledger=1 code=1"+ctrlC)
	shell.sees(t, "^C")
	shell.sees(t, "ledger> ")
	shell.does(t, "lookup_accounts id=3"+enter+"explain exists"+enter, "Nothing: to send an event again is safe.")

	shell.types(t, ctrlD)
	if status := wait(t, shell.Cmd); status != exitDone {
		t.Errorf("status %d", status)
	}
	if after := shell.mode(t); after != before {
		t.Errorf("the terminal's mode is %+v, and was %+v", after, before)
	}

	kept, err := os.ReadFile(filepath.Join(state, "ledger", "history"))
	const transfer = "create_transfers id=1 debit_account_id=1 credit_account_id=2 amount=10 ledger=1 code=1;\n"
	if err != nil || !strings.Contains(string(kept), transfer) {
		t.Errorf("history %q, error %v", kept, err)
	}
	again := onPty(t, environment, "repl", "--addresses="+s.port, "--output=json")
	again.sees(t, "ledger> ")
	again.types(t, up+up)
	again.sees(t, "lookup_accounts id=3")
	again.does(t, "\x7f1"+enter, `"debits_posted":"10"`)
}

// Goal: a server that disappears is told of within a bounded time, and the statement waits for it.
// ctrl-C cancels the statement, and not the shell. What was typed is kept.
func TestReplServerDisappears(t *testing.T) {
	address := freePort(t)
	path := formatted(t)
	server := on(t, address, path)
	shell := onPty(t, nil, "repl", "--addresses="+address, "--history="+filepath.Join(t.TempDir(), "history"))
	shell.sees(t, "ledger> ")
	shell.does(t, "create_accounts id=1 ledger=1 code=1"+enter, "created")

	_ = server.Process.Kill()
	_ = server.Wait()
	shell.types(t, "create_accounts id=2 ledger=1 code=1"+enter)
	shell.sees(t, "no answer for 2s: nobody listens at "+address+"; a server of cluster 0 is expected. Waiting for it")
	server = on(t, address, path)
	shell.sees(t, "created")
	shell.sees(t, "ledger> ")

	_ = server.Process.Kill()
	_ = server.Wait()
	shell.types(t, "create_accounts id=3 ledger=1 code=1"+enter)
	shell.sees(t, "no answer for 2s")
	shell.types(t, ctrlC)
	shell.sees(t, "create_accounts: cancelled")
	shell.sees(t, "It may still take effect.")
	shell.sees(t, "ledger> ")
	shell.does(t, "explain exists"+enter, "means:")
	on(t, address, path)
	shell.types(t, up+up)
	shell.sees(t, "create_accounts id=3 ledger=1 code=1")
	shell.types(t, enter)
	shell.sees(t, "timestamp")
	shell.sees(t, "ledger> ")
	shell.types(t, ctrlD)
	if status := wait(t, shell.Cmd); status != exitDone {
		t.Errorf("status %d", status)
	}
}

// Goal: a signal that ends the shell leaves the terminal as it was.
func TestReplSignal(t *testing.T) {
	shell := onPty(t, nil, "repl", "--addresses=127.0.0.1:1", "--history=")
	shell.sees(t, "ledger> ")
	raw := shell.mode(t)
	if err := shell.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	shell.does(t, "explain created"+enter, "The object was created.") // it goes on
	if err := shell.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, shell.Cmd); status != -1 {
		t.Errorf("status %d, want the end by a signal", status)
	}
	if after := shell.mode(t); raw.Lflag&unix.ECHO != 0 || after.Lflag&unix.ECHO == 0 || after.Lflag&unix.ICANON == 0 {
		t.Errorf("the terminal's mode was %+v and is %+v", raw, after)
	}
}
