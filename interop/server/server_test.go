package server

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeServer in the environment turns this test binary into a server under test, which does what it
// says: nothing wrong, or one thing.
const fakeServer = "LEDGER_FAKE_SERVER"

func TestMain(m *testing.M) {
	if conduct := os.Getenv(fakeServer); conduct != "" {
		fake(conduct, os.Args[1:])
	}
	os.Exit(m.Run())
}

// fake is the server. Its end is at the latest that of its stdin or of the test.
func fake(conduct string, args []string) {
	path := args[len(args)-1]
	if args[0] == "format" {
		if conduct == "format fails" {
			fmt.Println("no room for a data file")
			os.Exit(1)
		}
		if err := os.WriteFile(path, []byte(strings.Join(args, "\n")), 0o600); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "started with", args[1:len(args)-1])
	if conduct == "ends" {
		os.Exit(3)
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	address := strings.TrimPrefix(args[1], "--addresses=")
	isHarness := address == "0"
	if isHarness {
		address = "127.0.0.1:0"
	}
	port := 0
	if conduct != "never listens" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			panic(err)
		}
		port = listener.Addr().(*net.TCPAddr).Port
		if conduct == "announces another port" {
			listener.Close()
		}
	}
	if isHarness {
		switch conduct {
		case "no newline":
			fmt.Print(port)
		case "more than a port":
			fmt.Printf("listening on %d\n", port)
		case "port 0":
			fmt.Println(0)
		default:
			fmt.Println(port)
		}
		if conduct != "stdout stays open" {
			os.Stdout.Close()
		}
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			if conduct != "outlives its stdin" {
				os.Exit(0)
			}
		}()
	}
	for range terminated {
		if conduct != "ignores SIGTERM" {
			os.Exit(0)
		}
	}
}

// trial is a testing.TB whose failure is an outcome and not an end.
type trial struct {
	testing.TB
	failure string
}

func (r *trial) Fatal(arguments ...any) {
	r.failure = fmt.Sprint(arguments...)
	runtime.Goexit()
}

func (r *trial) Fatalf(format string, arguments ...any) { r.Fatal(fmt.Sprintf(format, arguments...)) }

// failure runs f, and returns what it failed with, "" if it did not.
func failure(t *testing.T, f func(testing.TB)) string {
	r := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.failure
}

// formatted is a data file for a server of this conduct, which has little time for everything.
func formatted(t testing.TB, conduct string, options Options) *File {
	t.Setenv("LEDGER_BIN", os.Args[0])
	t.Setenv(fakeServer, conduct)
	f := Format(t, options)
	f.startWithin, f.stopWithin = 5*time.Second, 500*time.Millisecond
	return f
}

// Goal: a server that does what harnesses rely on passes, in each of its ways to start and to stop.
func TestRightServer(t *testing.T) {
	f := formatted(t, "right", Options{Development: true, StartArgs: []string{"--cache-grid=1MiB"}})
	arguments, err := os.ReadFile(f.Path)
	want := "format\n--cluster=0\n--replica=0\n--replica-count=1\n--development\n" + f.Path
	if err != nil || string(arguments) != want || filepath.Base(f.Path) != "0_0.data" {
		t.Fatalf("formatted with %q, error %v", arguments, err)
	}
	p := f.Start(t)
	if !p.Running() || p.Pid() == os.Getpid() {
		t.Error("the server does not run")
	}
	p.CloseStdin()
	if status, err := p.Ended(5 * time.Second); status != 0 || err != nil {
		t.Errorf("status %d, error %v at the end of stdin", status, err)
	}
	port := FreePort(t)
	p = f.StartOn(t, port)
	if p.Port != port || p.Address != fmt.Sprint("127.0.0.1:", port) {
		t.Errorf("port %d at %s, want %d", p.Port, p.Address, port)
	}
	p.Stop(t)
	p = f.StartOn(t, port)
	p.Kill()
	if status, err := p.Ended(5 * time.Second); status != -1 || err != nil || p.Running() {
		t.Errorf("status %d, error %v after a kill", status, err)
	}
	log := p.LogTail()
	for _, want := range []string{"--- start 3", "started with [--addresses=0 --development --cache-grid=1MiB]"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
}

// Goal: each thing that a server may do wrong fails the test that uses it, with the server's own
// words where it has any.
func TestWrongServer(t *testing.T) {
	start := func(f *File, t testing.TB) { f.Start(t) }
	startOn := func(f *File, t testing.TB) { f.StartOn(t, FreePort(t)) }
	for conduct, c := range map[string]struct {
		use  func(*File, testing.TB)
		want []string
	}{
		"no newline":             {start, []string{"want a port and a newline", "started with"}},
		"more than a port":       {start, []string{`wrote "listening on`, "want a port and a newline"}},
		"port 0":                 {start, []string{`wrote "0\n"`}},
		"ends":                   {start, []string{`wrote ""`, "started with"}},
		"announces another port": {start, []string{"was announced but does not accept"}},
		"stdout stays open": {func(f *File, t testing.TB) {
			f.startWithin = 200 * time.Millisecond
			f.Start(t)
		}, []string{"reading the port from stdout"}},
		"never listens": {func(f *File, t testing.TB) {
			f.startWithin = 200 * time.Millisecond
			startOn(f, t)
		}, []string{"accepts no connection within 200ms"}},
		"ignores SIGTERM": {func(f *File, t testing.TB) { f.Start(t).Stop(t) }, []string{"has not ended within 500ms", "started with"}},
		"outlives its stdin": {func(f *File, t testing.TB) {
			p := f.Start(t)
			p.CloseStdin()
			if _, err := p.Ended(200 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}, []string{"has not ended within 200ms"}},
	} {
		t.Run(conduct, func(t *testing.T) {
			f := formatted(t, conduct, Options{})
			got := failure(t, func(t testing.TB) { c.use(f, t) })
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("failed with %q, want %q", got, want)
				}
			}
		})
	}
	t.Run("format fails", func(t *testing.T) {
		got := failure(t, func(r testing.TB) { formatted(r, "format fails", Options{}) })
		if !strings.Contains(got, "exit status 1") || !strings.Contains(got, "no room for a data file") {
			t.Errorf("failed with %q", got)
		}
	})
	t.Run("ends before it listens", func(t *testing.T) {
		f := formatted(t, "ends", Options{})
		if got := failure(t, func(t testing.TB) { startOn(f, t) }); !strings.Contains(got, "exit status 3") {
			t.Errorf("failed with %q", got)
		}
	})
	t.Run("gone before it is stopped", func(t *testing.T) {
		p := formatted(t, "right", Options{}).Start(t)
		p.Kill()
		if got := failure(t, func(t testing.TB) { p.Stop(t) }); !strings.Contains(got, "gone before it was stopped") {
			t.Errorf("failed with %q", got)
		}
	})
	t.Run("no binary", func(t *testing.T) {
		t.Setenv("LEDGER_BIN", filepath.Join(t.TempDir(), "none"))
		if got := failure(t, func(t testing.TB) { Format(t, Options{}) }); !strings.Contains(got, "no server to test at") {
			t.Errorf("failed with %q", got)
		}
	})
}

// Goal: a socket that an ended process has left behind is not taken for the new server.
func TestStaleListener(t *testing.T) {
	left, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	port := left.Addr().(*net.TCPAddr).Port
	inodes := listeners(port)
	if len(inodes) != 1 {
		t.Fatalf("sockets %q listen on port %d, want one", inodes, port)
	}
	f := formatted(t, "never listens", Options{})
	p := f.Launch(t, port)
	if err := p.Await(5 * time.Second); err != nil {
		t.Fatalf("a socket of somebody else counts: %v", err)
	}
	f.stale[inodes[0]] = true
	if err := p.Await(200 * time.Millisecond); err == nil {
		t.Fatal("a stale socket counts")
	}
	left.Close()
	if inodes := listeners(port); len(inodes) != 0 {
		t.Errorf("sockets %q listen on port %d, want none", inodes, port)
	}
}
