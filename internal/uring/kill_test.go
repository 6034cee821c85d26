package uring

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
)

const killedEnvironment = "LEDGER_TEST_KILLED"

// Goal: after kill -9 in the middle of writes, receives and an armed accept, the next start gets file and port at once. The
// kernel takes a dead process's ring apart in the background; until then lock and port are taken.
func TestRestartAfterKill(t *testing.T) {
	if path := os.Getenv(killedEnvironment); path != "" {
		serveUntilKilled(path)
	}
	skipWithout(t)
	path := filepath.Join(t.TempDir(), "data")
	options := posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true, Create: true}
	file, err := posix.OpenDataFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	options.Create = false
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestRestartAfterKill$")
		child.Env = append(os.Environ(), killedEnvironment+"="+path)
		child.Stderr = os.Stderr
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			_ = child.Process.Kill()
			t.Fatal(err)
		}
		port, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		peer, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		_ = child.Process.Kill()
		_ = child.Wait()
		began := time.Now()
		file, err := posix.OpenDataFile(path, options)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		opened := time.Since(began)
		fd, _, err := posix.Listen(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		t.Logf("file after %v, port after %v", opened, time.Since(began))
		_ = unix.Close(fd)
		_ = file.Close()
		_ = peer.Close()
	}
}

// serveUntilKilled is the child: it writes and waits for connections until its end.
func serveUntilKilled(path string) {
	runtime.LockOSThread()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	go func() { // not for ever, if the parent dies
		time.Sleep(20 * time.Second)
		os.Exit(1)
	}()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true})
	check(err)
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	check(err)
	memory := arena.New()
	thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
	check(err)
	disk, network := thread.Disk(file.Fd, 8), thread.Network(fd, 4)
	check(thread.Start())
	thread.Turn()
	_, _ = os.Stdout.WriteString(strconv.Itoa(int(port)) + "\n")
	data, buffer := memory.Bytes(1<<20, sectorBytes, "test"), memory.Bytes(sectorBytes, sectorBytes, "test")
	for i := range uint64(8) {
		disk.Write(i, i<<20, data, ports.WriteDurable)
	}
	var completions [8]ports.DiskCompletion
	var events [8]ports.NetworkEvent
	for {
		for _, completion := range completions[:disk.Poll(completions[:])] {
			disk.Write(completion.Tag, completion.Tag<<20, data, ports.WriteDurable)
		}
		for _, event := range events[:network.Poll(events[:])] {
			if event.Kind == ports.NetworkAccepted {
				network.Receive(event.Connection, buffer)
			}
		}
		if thread.Turn() == 0 {
			thread.Wait(1_000_000)
		}
	}
}
