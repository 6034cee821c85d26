package replica

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// question is a read-only request.
type question struct {
	operation wire.Operation
	body      []byte
}

// questions look at everything that agedFile wrote.
func questions(transfersCount uint64) (list []question) {
	ids := make([]wire.U128, 2000)
	for at := uint64(1); at <= transfersCount; at += uint64(len(ids)) {
		for i := range ids {
			ids[i] = wire.U128From(at + uint64(i))
		}
		list = append(list, question{wire.OperationLookupTransfers, one(wire.OperationLookupTransfers, bytesOf(ids))})
	}
	for id := uint64(1); id <= 4; id++ {
		list = append(list, question{wire.OperationLookupAccounts, one(wire.OperationLookupAccounts, bytesOf([]wire.U128{wire.U128From(id)}))})
		filter := accounting.AccountFilter{AccountID: wire.U128From(id), Limit: 200,
			Flags: accounting.FilterDebits | accounting.FilterCredits | accounting.FilterReversed}
		list = append(list, question{wire.OperationGetAccountTransfers, one(wire.OperationGetAccountTransfers,
			bytesOf([]accounting.AccountFilter{filter}))})
	}
	query := accounting.QueryFilter{Ledger: 1, Code: 1, Limit: 200}
	list = append(list, question{wire.OperationQueryTransfers, one(wire.OperationQueryTransfers, bytesOf([]accounting.QueryFilter{query}))})
	return append(list, question{wire.OperationGetChangeEvents, bytesOf([]accounting.ChangeEventsFilter{{Limit: 100}})})
}

// agedFile makes a data file with checkpoints behind it and ops above the last, and says how many
// transfers it holds.
func agedFile(t *testing.T, l limits.Limits, kind IOKind) (path string, transfersCount uint64) {
	path = formatted(t, l)
	s := started(t, path, l, kind)
	c := registered(t, s.address, 1)
	c.makeAccounts(1, 4)
	for i := range uint64(420) {
		size := uint64(240)
		if i%4 == 0 {
			size = 3
		}
		c.makeTransfers(transfersCount+1, size, 1+i%2, 3+i%2)
		transfersCount += size
	}
	s.close()
	return path, transfersCount
}

// copied is a copy of a data file, holes and all.
func copied(t *testing.T, path string) string {
	t.Helper()
	source, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		t.Fatal(err)
	}
	target, err := os.Create(filepath.Join(t.TempDir(), "copy.data"))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := target.Truncate(info.Size()); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); ; {
		from, err := unix.Seek(int(source.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			break // ENXIO: only a hole is left
		}
		if at, err = unix.Seek(int(source.Fd()), from, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, at-from)
		if _, err := source.ReadAt(buffer, from); err != nil {
			t.Fatal(err)
		}
		if _, err := target.WriteAt(buffer, from); err != nil {
			t.Fatal(err)
		}
	}
	return target.Name()
}

// flip changes length bytes at offset.
func flip(t *testing.T, path string, offset, length uint64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buffer := make([]byte, length)
	if _, err := file.ReadAt(buffer, int64(offset)); err != nil {
		t.Fatal(err)
	}
	for i := range buffer {
		buffer[i] ^= 0x5a
	}
	if _, err := file.WriteAt(buffer, int64(offset)); err != nil {
		t.Fatal(err)
	}
}

// outcome of a start on a damaged file.
type outcome string

const (
	served  outcome = "served"  // all answers are right
	refused outcome = "refused" // at start, with a fault
	stopped outcome = "stopped" // later, with a fault
)

// examine starts a server, asks everything, and compares the answers. Whatever is neither right nor
// a fault fails the test.
func examine(t *testing.T, path string, l limits.Limits, kind IOKind, list []question,
	want [][]byte) (how outcome, answers [][]byte, reason error) {
	t.Helper()
	isFault := func(err error) error {
		var fault *FaultError
		if !errors.As(err, &fault) {
			t.Fatalf("the server ended with %v, want a fault", err)
		}
		return err
	}
	r, err := opened(t, path, l, kind)
	if err != nil {
		return refused, nil, isFault(err)
	}
	defer func() {
		r.server.Close()
		unix.Close(r.fd)
		r.file.Close()
	}()
	ready, err := r.listen()
	if err != nil {
		return refused, nil, isFault(err)
	}
	select {
	case <-ready:
	case err := <-r.ended:
		return stopped, nil, isFault(err)
	case <-time.After(replyWithin):
		t.Fatal("the server does not get ready, and does not say why")
	}
	c := dialed(t, r.address, 1000)
	ask := func(o wire.Operation, body []byte) []byte {
		c.send(o, body)
		type got struct {
			h       *wire.Header
			message []byte
			err     error
		}
		reply := make(chan got, 1)
		go func() {
			h, message, err := c.receive()
			reply <- got{h, message, err}
		}()
		select {
		case err := <-r.ended:
			reason = isFault(err)
			return nil
		case g := <-reply:
			if g.err != nil || g.h.Command() != wire.CommandReply {
				t.Fatalf("%v: no reply and no fault: %v", o, g.err)
			}
			c.parent, c.number, c.reply = g.h.ReplyContext(), c.number+1, g.message
			return g.message[wire.HeaderBytes:]
		}
	}
	if ask(wire.OperationRegister, make([]byte, wire.RegisterBodyBytes)) == nil {
		return stopped, nil, reason
	}
	c.session = wire.HeaderOf(c.reply).ReplyCommit()
	for i, q := range list {
		answer := ask(q.operation, q.body)
		if reason != nil {
			return stopped, nil, reason
		}
		if want != nil && !bytes.Equal(answer, want[i]) {
			t.Fatalf("question %d (%v): the answer of %d bytes is WRONG", i, q.operation, len(answer))
		}
		answers = append(answers, answer)
	}
	return served, answers, nil
}

// Damage anywhere in the data file is repaired, does no harm, or stops the replica with a fault
// that names it. It never changes an answer, and never hangs.
func TestDamage(t *testing.T) {
	l := shapes()["development"]
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			path, transfersCount := agedFile(t, l, kind)
			list := questions(transfersCount)
			how, want, reason := examine(t, copied(t, path), l, kind, list, nil)
			if how != served {
				t.Fatalf("the file without damage: %s: %v", how, reason)
			}
			o, file := recovered(t, path, l)
			layout, checkpoint, head := o.Layout, o.Consensus.Superblock.Checkpoint.Op, o.Consensus.OpHead
			headers := bytes.Clone(o.Journal.Headers)
			file()
			if checkpoint+1 < 2*l.CheckpointIntervalOps() || head < checkpoint+3 {
				t.Fatalf("the file has checkpoint %d and head %d", checkpoint, head)
			}
			slots, message := uint64(l.JournalSlotsCount), uint64(l.MessageBytesMax)
			isSmall := func(op uint64) bool {
				return prepare.Header(headers[op%slots*limits.HeaderBytes:][:limits.HeaderBytes]).SizeBytes() <= l.TwinBytes
			}
			small, large, headAlone := head-1, head-1, refused
			for !isSmall(small) {
				small--
			}
			for isSmall(large) {
				large--
			}
			if isSmall(head) {
				headAlone = served
			}
			if small <= checkpoint || large <= checkpoint {
				t.Fatalf("no small or no large prepare between %d and %d", checkpoint, head)
			}
			prepareAt := func(op uint64) uint64 { return layout.PrepareAt(op % slots) }
			twinAt := func(op uint64) uint64 { return layout.TwinAt(op % slots) }
			type span struct{ at, length uint64 }
			cases := []struct {
				name  string
				spans []span
				want  outcome
			}{
				{"one superblock", []span{{layout.SuperblockCopyAt(0) + 100, 1}}, served},
				{"two superblocks", []span{{layout.SuperblockCopyAt(0) + 100, 1}, {layout.SuperblockCopyAt(3), 4096}}, served},
				{"three superblocks", []span{{layout.SuperblockCopyAt(0) + 100, 1}, {layout.SuperblockCopyAt(1) + 300, 1},
					{layout.SuperblockCopyAt(2) + 500, 1}}, refused},
				{"all superblocks", []span{{layout.SuperblockCopyAt(0) + 100, 1}, {layout.SuperblockCopyAt(1) + 300, 1},
					{layout.SuperblockCopyAt(2) + 500, 1}, {layout.SuperblockCopyAt(3) + 17, 300}}, refused},
				{"a twin above the checkpoint", []span{{twinAt(head - 1), 1}}, served},
				{"all twins", []span{{twinAt(0), slots * uint64(l.TwinBytes)}}, served},
				{"the header of a small prepare above the checkpoint", []span{{prepareAt(small), 1}}, served},
				{"the body of a small prepare above the checkpoint", []span{{prepareAt(small) + 300, 1}}, served},
				{"both copies of a small prepare", []span{{prepareAt(small) + 300, 1}, {twinAt(small) + 300, 1}}, refused},
				{"the header of a large prepare above the checkpoint", []span{{prepareAt(large), 1}}, refused},
				{"the body of a large prepare above the checkpoint", []span{{prepareAt(large) + 20000, 1}}, refused},
				{"the body of the head", []span{{prepareAt(head) + 300, 1}}, headAlone},
				{"the head and its twin", []span{{prepareAt(head) + 300, 1}, {twinAt(head), 1}}, refused},
				{"the padding of a prepare", []span{{prepareAt(small) + 16000, 1}}, ""},
				{"a prepare below the checkpoint", []span{{prepareAt(checkpoint - 5), 600}}, served},
				{"the slot after the head", []span{{prepareAt(head + 1), 4096}}, ""},
				{"a slot behind its prepare", []span{{prepareAt(head) + message - 4096, 4096}}, served},
			}
			for i, c := range cases {
				if testing.Short() && i%4 != 1 {
					continue // for the race detector, one start is like the other
				}
				damaged := copied(t, path)
				for _, s := range c.spans {
					flip(t, damaged, s.at, s.length)
				}
				how, _, reason := examine(t, damaged, l, kind, list, want)
				if c.want != "" && how != c.want {
					t.Errorf("%s: %s (%v), want %s", c.name, how, reason, c.want)
				}
				t.Logf("%s: %s: %v", c.name, how, reason)
			}
			if testing.Short() {
				return
			}
			examineGrid(t, path, &layout, l, kind, list, want)
		})
	}
}

// examineGrid damages blocks of the grid, one by one.
func examineGrid(t *testing.T, path string, layout *datafile.Layout, l limits.Limits, kind IOKind, list []question, want [][]byte) {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Blocks that were ever written: the file grows in steps, and what is behind them is nobody's.
	written := []uint64{}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for blockIndex := range (uint64(info.Size()) - layout.GridAt) / uint64(l.BlockBytes) {
		header := content[layout.GridAt+blockIndex*uint64(l.BlockBytes):][:64]
		if !bytes.Equal(header, make([]byte, 64)) {
			written = append(written, blockIndex)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := map[outcome]int{}
	const cases = 15
	for range cases {
		damaged := copied(t, path)
		blockIndex := written[random.IntN(len(written))]
		// A page of it, or a byte of its header page.
		at, length := blockIndex*uint64(l.BlockBytes), uint64(l.BlockBytes)
		switch random.IntN(4) {
		case 0:
			at, length = at+random.Uint64N(uint64(l.PageBytes)), 1
		case 1:
			at, length = at+random.Uint64N(4)*uint64(l.PageBytes)+random.Uint64N(1000), 1
		}
		flip(t, damaged, layout.GridAt+at, length)
		how, _, reason := examine(t, damaged, l, kind, list, want)
		outcomes[how]++
		var fault *FaultError
		if errors.As(reason, &fault) && fault.Fault.What != storage.FaultBlock {
			t.Errorf("block %d: a fault of kind %q: %v", blockIndex+1, fault.Fault.What, reason)
		}
	}
	t.Logf("%d blocks: %v", len(written), outcomes)
	if outcomes[served] == cases {
		t.Error("no damage to the grid was noticed")
	}
}

// recovered opens a data file and says where it stands; done closes it.
func recovered(t *testing.T, path string, l limits.Limits) (o *Opened, done func()) {
	t.Helper()
	r, err := opened(t, copied(t, path), l, IOPosix)
	if err != nil {
		t.Fatal(err)
	}
	return r.server.opened, func() {
		r.server.Close()
		r.file.Close()
	}
}
