package uring

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
)

const (
	killedEnvironment = "LEDGER_TEST_KILLED"
	killedWrites      = 8 // under way at any time, each to a place of its own
	killedBytes       = 1 << 20
)

// Goal: kill -9 in the middle of writes, a receive and an armed accept. The next start gets the
// lock of the file and the port. All writes that were acknowledged are in the file then, and no
// write of the dead process reaches it afterwards: the kernel takes the ring apart in the
// background, and the lock must last until it is done with the file.
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
	memory := arena.New()
	defer memory.Close()
	ours := memory.Bytes(killedBytes, sectorBytes, "test")
	read := memory.Bytes(killedBytes, sectorBytes, "test")
	for i := range ours {
		ours[i] = byte(i%251) + 1
	}
	for place := range uint64(killedWrites) {
		if err := file.WriteAt(ours, place*killedBytes); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	options.Create = false
	for round := range 5 {
		acknowledged, port := killWhileWriting(t, path)
		file, err := posix.OpenDataFile(path, options)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for place := range uint64(killedWrites) {
			if err := file.ReadAt(read, place*killedBytes); err != nil {
				t.Fatal(err)
			}
			// One write to the place was under way, so a sector is of the acknowledged write or of the one
			// after it.
			for at := 0; at < killedBytes && acknowledged[place] > 0; at += sectorBytes {
				number := binary.LittleEndian.Uint64(read[at:])
				if number != acknowledged[place] && number != acknowledged[place]+1 {
					t.Fatalf("round %d: place %d, byte %d is of write %d, and write %d was acknowledged", round, place, at, number, acknowledged[place])
				}
			}
			if err := file.WriteAt(ours, place*killedBytes); err != nil {
				t.Fatal(err)
			}
		}
		listener := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		fd, _, err := posix.Listen(listener)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		next, err := net.Dial("tcp", listener.String())
		if err != nil {
			t.Fatalf("round %d: the port is ours and refuses: %v", round, err)
		}
		_ = next.Close()
		_ = unix.Close(fd)
		for place := range uint64(killedWrites) {
			if err := file.ReadAt(read, place*killedBytes); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read, ours) {
				t.Fatalf("round %d: a write of the dead process reached place %d after the lock was ours", round, place)
			}
		}
		_ = file.Close()
	}
}

// killWhileWriting starts a child, kills it while it writes and receives, and returns the last
// acknowledged write of each place and the port on which it listened.
func killWhileWriting(t *testing.T, path string) (acknowledged [killedWrites]uint64, port uint16) {
	t.Helper()
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
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	written, isReceiving := 0, false
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var place, number uint64
		if line := lines.Text(); line == "receiving" {
			isReceiving = true
		} else if _, err := fmt.Sscanf(line, "listening %d", &port); err == nil {
			peer, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
		} else if _, err := fmt.Sscanf(line, "written %d %d", &place, &number); err == nil && place < killedWrites {
			acknowledged[place] = number
			written++
		}
		if isReceiving && written >= 2*killedWrites {
			_ = child.Process.Kill() // and the loop goes on with what it has written before
		}
	}
	if !isReceiving || written < 2*killedWrites {
		t.Fatalf("the child ended by itself, after %d writes, receiving %v", written, isReceiving)
	}
	return acknowledged, port
}

// serveUntilKilled is the child: it writes, receives and waits for connections until its end. It
// says what it does.
func serveUntilKilled(path string) {
	runtime.LockOSThread()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	time.AfterFunc(20*time.Second, func() { os.Exit(1) }) // not for ever, if the parent dies
	file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true})
	check(err)
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	check(err)
	memory := arena.New()
	thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
	check(err)
	disk, network := thread.Disk(file.Fd, killedWrites), thread.Network(fd, 4, 0)
	check(thread.Start())
	thread.Turn()
	fmt.Printf("listening %d\n", port)
	buffer := memory.Bytes(sectorBytes, sectorBytes, "test")
	var data [killedWrites][]byte
	var numbers [killedWrites]uint64
	write := func(place uint64) {
		numbers[place]++
		for at := 0; at < killedBytes; at += sectorBytes {
			binary.LittleEndian.PutUint64(data[place][at:], numbers[place])
		}
		disk.Write(place, place*killedBytes, data[place], ports.WriteDurable)
	}
	for place := range uint64(killedWrites) {
		data[place] = memory.Bytes(killedBytes, sectorBytes, "test")
		write(place)
	}
	var completions [killedWrites]ports.DiskCompletion
	var events [8]ports.NetworkEvent
	isReceiving := false
	for {
		for _, completion := range completions[:disk.Poll(completions[:])] {
			if completion.Result != killedBytes {
				panic(fmt.Sprintf("a write ended with %d", completion.Result))
			}
			place := completion.Tag
			number := numbers[place]
			write(place)
			fmt.Printf("written %d %d\n", place, number)
		}
		for _, event := range events[:network.Poll(events[:])] {
			if event.Kind == ports.NetworkAccepted {
				network.Receive(event.Connection, buffer)
				isReceiving = true
			}
		}
		if thread.Turn() == 0 {
			thread.Wait(1_000_000)
			if isReceiving {
				fmt.Println("receiving")
				isReceiving = false
			}
		}
	}
}
