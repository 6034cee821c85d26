package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
)

// bench is a disk with one port, on a clock of its own.
type diskBench struct {
	t      *testing.T
	memory *arena.Arena
	events events
	disk   *Disk
	port   *DiskPort
}

func newDiskBench(t *testing.T, seed uint64) *diskBench {
	b := &diskBench{t: t, memory: arena.New()}
	t.Cleanup(b.memory.Close)
	b.disk = newDisk(newImage(512), b.events.agenda(), rand.New(rand.NewPCG(seed, 0)), func(format string, arguments ...any) {
		panic(violation{fmt.Sprintf(format, arguments...)})
	})
	b.port = b.disk.port(PortJournal, 16)
	return b
}

func (b *diskBench) sectors(count int, fill byte) []byte {
	buffer := b.memory.Bytes(uint64(count)*512, 512, "sectors")
	for i := range buffer {
		buffer[i] = fill
	}
	return buffer
}

// run lets time pass until so many completions have come.
func (b *diskBench) run(count int) (out []ports.DiskCompletion) {
	var some [8]ports.DiskCompletion
	for len(out) < count {
		if b.events.nextNs() == ^uint64(0) {
			b.t.Fatalf("%d completions, want %d", len(out), count)
		}
		b.events.nowNs = b.events.nextNs()
		b.events.runDue()
		out = append(out, some[:b.port.Poll(some[:])]...)
	}
	return out
}

// Goal: after a power cut, a durable write that completed is whole; one that did not is any mix of
// sectors, but never before the write it is linked to; a volatile one survives only if a sync
// queued after it has completed.
func TestDiskCrash(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		b := newDiskBench(t, seed)
		b.disk.image.write(0, bytes.Repeat([]byte{'.'}, 16*512), true)
		first, second := b.sectors(4, 'a'), b.sectors(1, 'b')
		b.port.Write(1, 0, first, ports.WriteLinked|ports.WriteDurable)
		b.port.Write(2, 4*512, second, ports.WriteDurable)
		b.port.Write(3, 8*512, b.sectors(2, 'c'), 0)
		done := map[uint64]bool{}
		for range b.disk.random.IntN(4) {
			done[b.run(1)[0].Tag] = true
		}
		if done[2] && !done[1] {
			t.Fatalf("seed %d: the linked write ended first", seed)
		}
		synced := false
		if done[3] && b.disk.random.IntN(2) == 0 {
			b.port.Sync(4)
			for !synced {
				synced = b.run(1)[0].Tag == 4
			}
		}
		b.disk.crash(true)
		now := b.disk.image.bytes(0, b.disk.image.usedBytes)
		count := func(from, to int, c byte) (n int) {
			for at := from * 512; at < to*512; at += 512 {
				if bytes.Equal(now[at:at+512], bytes.Repeat([]byte{c}, 512)) {
					n++
				}
			}
			return n
		}
		a, bs, c := count(0, 4, 'a'), count(4, 5, 'b'), count(8, 10, 'c')
		if a+count(0, 4, '.') != 4 || bs+count(4, 5, '.') != 1 || c+count(8, 10, '.') != 2 {
			t.Fatalf("seed %d: a sector is neither old nor new", seed)
		}
		if done[1] && a != 4 || bs == 1 && a != 4 || synced && c != 2 {
			t.Fatalf("seed %d: done %v, synced %v: %d of a, %d of b, %d of c", seed, done, synced, a, bs, c)
		}
		seen[fmt.Sprint("a", a)], seen[fmt.Sprint("b", bs)], seen[fmt.Sprintf("c%d%v", c, done[3])] = true, true, true
	}
	for _, want := range []string{"a0", "a1", "a2", "a3", "a4", "b0", "b1", "c0true", "c1true", "c2true", "c0false", "c2false"} {
		if !seen[want] {
			t.Errorf("no seed has shown %s", want)
		}
	}
}

// Goal: what breaks the contract of a port is found.
func TestDiskContract(t *testing.T) {
	cases := []struct {
		name string
		do   func(b *diskBench)
	}{
		{"a length that is no sector", func(b *diskBench) { b.port.Write(1, 0, b.sectors(1, 1)[:100], 0) }},
		{"an offset that is no sector", func(b *diskBench) { b.port.Read(1, 100, b.sectors(1, 1)) }},
		{"two writes at once", func(b *diskBench) {
			b.port.Write(1, 0, b.sectors(2, 1), 0)
			b.port.Write(2, 512, b.sectors(2, 2), 0)
		}},
		{"a buffer that changes", func(b *diskBench) {
			buffer := b.sectors(1, 1)
			b.port.Write(1, 0, buffer, 0)
			buffer[7]++
			b.run(1)
		}},
		{"too many operations", func(b *diskBench) {
			for i := range uint64(17) {
				b.port.Sync(i)
			}
		}},
	}
	for _, c := range cases {
		found := func() (found bool) {
			defer func() { _, found = recover().(violation) }()
			c.do(newDiskBench(t, 1))
			return false
		}()
		if !found {
			t.Errorf("%s is not found", c.name)
		}
	}
}

// Goal: a failed write cancels the chain behind it; a full disk, and sectors that cannot be read,
// are errors.
func TestDiskErrors(t *testing.T) {
	b := newDiskBench(t, 1)
	b.disk.writeErrorIn = 2
	b.port.Write(1, 0, b.sectors(1, 1), ports.WriteLinked)
	b.port.Write(2, 512, b.sectors(1, 1), ports.WriteLinked)
	b.port.Write(3, 1024, b.sectors(1, 1), ports.WriteLinked)
	b.port.Write(4, 2048, b.sectors(1, 1), 0)
	want := []ports.DiskCompletion{{Tag: 1, Result: 512}, {Tag: 2, Result: -int32(unix.EIO)}, {Tag: 3, Result: -int32(unix.ECANCELED)},
		{Tag: 4, Result: -int32(unix.ECANCELED)}}
	for i, got := range b.run(4) {
		if got != want[i] {
			t.Errorf("completion %d is %+v, want %+v", i, got, want[i])
		}
	}
	b.disk.image.limitBytes = 4096
	b.port.Allocate(5, 0, 4096)
	b.port.Allocate(6, 4096, 1)
	for _, got := range b.run(2) {
		if (got.Tag == 5) != (got.Result == 0) || got.Tag == 6 && got.Result != -int32(unix.ENOSPC) {
			t.Errorf("an allocation ends with %+v", got)
		}
	}
	b.disk.image.unreadable[1] = true
	buffer := b.sectors(2, 9)
	b.port.Read(7, 0, buffer)
	if got := b.run(1)[0]; got.Result != -int32(unix.EIO) {
		t.Errorf("an unreadable sector gives %d", got.Result)
	}
	b.port.Write(8, 512, b.sectors(1, 5), ports.WriteDurable)
	b.run(1)
	b.port.Read(9, 0, buffer)
	if got := b.run(1)[0]; got.Result != 1024 || buffer[512] != 5 {
		t.Errorf("after a write it gives %d", got.Result)
	}
}

// Goal: the machine can go down between any two sectors of a synchronous write.
func TestFileCrash(t *testing.T) {
	for sectors := range 6 {
		image := newImage(512)
		file := &File{image: image, random: rand.New(rand.NewPCG(1, 1)), crashSectors: sectors}
		func() {
			defer func() {
				if _, ok := recover().(crashed); ok != (sectors < 5) {
					t.Errorf("%d sectors: crashed %v", sectors, ok)
				}
			}()
			_ = file.WriteAt(bytes.Repeat([]byte{1}, 2*512), 0)
			_ = file.WriteAt(bytes.Repeat([]byte{2}, 3*512), 1024)
		}()
		image.settle() // what is left is what was durable
		written, durable := 0, image.bytes(0, image.usedBytes)
		for at := 0; at < len(durable); at += 512 {
			if durable[at] != 0 {
				written++
			}
		}
		if written != min(sectors, 5) {
			t.Errorf("%d sectors are written, want %d", written, sectors)
		}
	}
}
