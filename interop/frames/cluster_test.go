package frames

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"ledger/interop/server"
)

// TestEveryReplica wants each of three replicas to answer a ping with its own index, and to serve a
// client that is connected to it alone: a backup passes a register on to the primary and answers
// its resends from the stored reply.
func TestEveryReplica(t *testing.T) {
	const count = 3
	var files [count]*server.File
	var ports [count]int
	var addresses []string
	for i := range files {
		files[i] = server.FormatReplica(t, server.Options{Development: true}, i, count)
		ports[i] = server.FreePort(t)
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	var processes [count]*server.Process
	for i, file := range files {
		processes[i] = file.LaunchCluster(t, ports[i], strings.Join(addresses, ","))
	}
	for i, process := range processes {
		if err := process.Await(time.Minute); err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
	}
	for i, process := range processes {
		p := newPlayer(process.Address)
		defer p.close()
		if err := p.warmUp(); err != nil {
			t.Fatalf("replica %d: %v\n%s", i, err, process.LogTail())
		}
		ping := make(frame, headerBytes)
		ping.setNumber(sizeField, headerBytes)
		ping.setNumber(releaseField, 0x1109)
		ping.setNumber(commandField, uint64(pingClient))
		rand.Read(ping.get(pingClientID))
		binary.LittleEndian.PutUint64(ping[144:], 0x1122334455667788)
		empty := ping.bodyChecksum()
		copy(ping.get(checksumBodyField), empty[:])
		ping.seal()
		if err := p.send(&step{Conn: 1, Dir: "c2s", frame: ping}); err != nil {
			t.Fatal(err)
		}
		pong, err := p.receive(1, replyWithin)
		if err != nil {
			t.Fatalf("replica %d does not answer a ping: %v", i, err)
		}
		for _, difference := range wellFormed(pong) {
			t.Errorf("replica %d: %s", i, difference)
		}
		if pong.command() != pongClient || pong.number(replicaField) != uint64(i) ||
			pong.number(field{128, 8, "timestamp"}) != 0x1122334455667788 {
			t.Errorf("replica %d answered a ping with a %v of replica %d", i, pong.command(), pong.number(replicaField))
		}
	}
}
