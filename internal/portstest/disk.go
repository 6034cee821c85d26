package portstest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Goal: what was written is read, with every combination of flags, and tags come back with their
// own results.
func testDiskReadsWhatWasWritten(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(0)
	disk := h.thread.Disk(file.Fd, 16)
	h.start()
	flags := []ports.WriteFlags{0, ports.WriteDurable, ports.WriteLinked, ports.WriteLinked | ports.WriteDurable, 0}
	want := map[uint64]int32{}
	sizes := []int{sectorBytes, 1 << 20, 3 * sectorBytes, sectorBytes, 2 * sectorBytes}
	var offsets []uint64
	offset := uint64(0)
	for i, f := range flags {
		disk.Write(uint64(i)+100, offset, h.bytes(sizes[i], byte(i)), f)
		want[uint64(i)+100] = int32(sizes[i])
		offsets = append(offsets, offset)
		offset += uint64(sizes[i])
	}
	h.expect(disk, want)
	disk.Sync(1)
	h.expect(disk, map[uint64]int32{1: 0})
	buffers := make([][]byte, len(flags))
	want = map[uint64]int32{}
	for i := range flags {
		buffers[i] = h.memory.Bytes(uint64(sizes[i]), sectorBytes, "test")
		disk.Read(uint64(i)+1<<60, offsets[i], buffers[i])
		want[uint64(i)+1<<60] = int32(sizes[i])
	}
	h.expect(disk, want)
	for i, buffer := range buffers {
		if !bytes.Equal(buffer, h.bytes(sizes[i], byte(i))) {
			t.Errorf("write %d reads differently", i)
		}
	}
}

// Goal: a read that crosses the end of the file delivers what there is, also when the file is no
// whole sectors long.
func testDiskEndOfFile(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(2*sectorBytes + 100)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	buffer := h.bytes(4*sectorBytes, 9)
	disk.Read(1, 0, buffer)
	h.expect(disk, map[uint64]int32{1: 2*sectorBytes + 100})
	disk.Read(2, 2*sectorBytes, buffer)
	h.expect(disk, map[uint64]int32{2: 100})
	disk.Read(3, 4*sectorBytes, buffer)
	h.expect(disk, map[uint64]int32{3: 0})
	disk.Read(4, 0, buffer[:2*sectorBytes])
	h.expect(disk, map[uint64]int32{4: 2 * sectorBytes})
}

// Goal: a link holds back what follows, and a failure cancels all of the chain's rest and nothing
// behind it.
func testDiskChains(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(16 * sectorBytes)
	readOnlyFd, err := unix.Open(filepathOf(file.Fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(readOnlyFd)
	disk, readOnly := h.thread.Disk(file.Fd, 16), h.thread.Disk(readOnlyFd, 16)
	h.start()
	const canceled, refused = -int32(unix.ECANCELED), -int32(unix.EBADF)
	data, readBuffer := h.bytes(sectorBytes, 1), h.memory.Bytes(sectorBytes, sectorBytes, "test")

	// Write, then read the same sector: only the link makes the order certain.
	disk.Write(1, 0, data, ports.WriteLinked)
	disk.Read(2, 0, readBuffer)
	h.expect(disk, map[uint64]int32{1: sectorBytes, 2: sectorBytes})
	if !bytes.Equal(data, readBuffer) {
		t.Error("a linked read overtook its write")
	}
	// A long chain that ends in a sync.
	disk.Write(1, 0, data, ports.WriteLinked)
	disk.Write(2, 1*sectorBytes, data, ports.WriteLinked|ports.WriteDurable)
	disk.Write(3, 2*sectorBytes, data, ports.WriteLinked)
	disk.Sync(4)
	disk.Read(5, 2*sectorBytes, readBuffer)
	h.expect(disk, map[uint64]int32{1: sectorBytes, 2: sectorBytes, 3: sectorBytes, 4: 0, 5: sectorBytes})
	// A failure at the head: the rest is cancelled, the neighbours are not.
	readOnly.Read(1, 0, readBuffer)
	readOnly.Write(2, 0, data, ports.WriteLinked)
	readOnly.Write(3, 0, data, ports.WriteLinked)
	readOnly.Read(4, 0, readBuffer)
	readOnly.Read(5, 0, readBuffer)
	h.expect(readOnly, map[uint64]int32{1: sectorBytes, 2: refused, 3: canceled, 4: canceled, 5: sectorBytes})
	// Two failing chains in one turn do not mix.
	readOnly.Write(1, 0, data, ports.WriteLinked)
	readOnly.Read(2, 0, readBuffer)
	readOnly.Write(3, 0, data, ports.WriteLinked)
	readOnly.Sync(4)
	readOnly.Read(5, 0, readBuffer)
	h.expect(readOnly, map[uint64]int32{1: refused, 2: canceled, 3: refused, 4: canceled, 5: sectorBytes})
}

// Goal: a chain may be queued over several turns; its end comes later than its beginning was
// offered to the kernel.
func testDiskChainCutByTurn(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(16 * sectorBytes)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	data, readBuffer := h.bytes(sectorBytes, 3), h.memory.Bytes(sectorBytes, sectorBytes, "test")
	disk.Write(1, 0, data, ports.WriteLinked)
	h.thread.Turn()
	h.thread.Wait(1_000_000)
	h.thread.Turn()
	disk.Write(2, sectorBytes, data, ports.WriteLinked)
	h.thread.Turn()
	disk.Read(3, sectorBytes, readBuffer)
	h.expect(disk, map[uint64]int32{1: sectorBytes, 2: sectorBytes, 3: sectorBytes})
	if !bytes.Equal(data, readBuffer) {
		t.Error("a linked read overtook its write")
	}
}

// Goal: a write cut short by the kernel is continued; when the rest fails, that is the result, and
// the chain is cancelled. The limit on the size of files cuts the write: up to the limit it
// succeeds, from there on it is EFBIG.
func testDiskShortWrite(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(sectorBytes)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	data, readBuffer := h.bytes(4*sectorBytes, 5), h.memory.Bytes(4*sectorBytes, sectorBytes, "test")

	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 * sectorBytes, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &before) }()

	disk.Write(1, 0, data, ports.WriteLinked)
	disk.Write(2, 0, data[:sectorBytes], ports.WriteLinked)
	disk.Read(3, 0, readBuffer)
	h.expect(disk, map[uint64]int32{1: -int32(unix.EFBIG), 2: -int32(unix.ECANCELED), 3: -int32(unix.ECANCELED)})
	disk.Read(4, 0, readBuffer)
	h.expect(disk, map[uint64]int32{4: 2 * sectorBytes})
	if !bytes.Equal(readBuffer[:2*sectorBytes], data[:2*sectorBytes]) {
		t.Error("the part of the write that fitted is not there")
	}
}

// Goal: what the kernel refuses is a completion with its number.
func testDiskErrors(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(4 * sectorBytes)
	writeOnlyFd, err := unix.Open(filepathOf(file.Fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(writeOnlyFd)
	disk, writeOnly := h.thread.Disk(file.Fd, 4), h.thread.Disk(writeOnlyFd, 4)
	h.start()
	buffer := h.bytes(2*sectorBytes, 1)
	if file.Direct {
		disk.Write(3, 0, buffer, 0) // a hole could be read at any offset
		h.expect(disk, map[uint64]int32{3: 2 * sectorBytes})
		disk.Read(1, 100, buffer[:sectorBytes])
		disk.Write(2, 7, buffer[:sectorBytes], 0)
		h.expect(disk, map[uint64]int32{1: -int32(unix.EINVAL), 2: -int32(unix.EINVAL)})
	}
	writeOnly.Read(1, 0, buffer)
	h.expect(writeOnly, map[uint64]int32{1: -int32(unix.EBADF)})
}

// Goal: Allocate makes the file longer, and its refusal is a result.
func testDiskAllocate(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(0)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	disk.Allocate(1, 0, 1<<20)
	disk.Allocate(2, 1<<20, 1<<20)
	h.expect(disk, map[uint64]int32{1: 0, 2: 0})
	if size, err := file.SizeBytes(); err != nil || size != 2<<20 {
		t.Errorf("size %d, error %v; want %d", size, err, 2<<20)
	}
	disk.Allocate(3, 0, 1<<62)
	if result := h.results(disk, 1)[3]; result != -int32(unix.EFBIG) && result != -int32(unix.ENOSPC) {
		t.Errorf("allocating 4 EiB: result %d, want EFBIG or ENOSPC", result)
	}
}

// Goal: random operations, many at once, agree with a copy of the file in memory. Operations under
// way at the same time never touch the same sector, unless a link orders them.
func testDiskModel(t *testing.T, backend Backend) {
	const sectors, operationsMax, rounds = 256, 32, 150
	random := rand.New(rand.NewPCG(1, 0))
	h := newHarness(t, backend)
	file := h.dataFile(sectors * sectorBytes)
	disk := h.thread.Disk(file.Fd, operationsMax)
	h.start()
	model := make([]byte, sectors*sectorBytes)
	memory := h.bytes(operationsMax*8*sectorBytes, 0)
	for round := range rounds {
		want := map[uint64]int32{}
		expected := map[uint64][]byte{} // what the reads must find
		buffers := map[uint64][]byte{}
		sector, tag := 0, uint64(0)
		for {
			sector += random.IntN(8)
			count := 1 + random.IntN(8)
			if sector+count > sectors || tag+2 > operationsMax {
				break
			}
			buffer := memory[tag*8*sectorBytes:][:count*sectorBytes]
			offset, length := sector*sectorBytes, count*sectorBytes
			if random.IntN(2) == 0 {
				disk.Read(tag, uint64(offset), buffer)
				expected[tag], buffers[tag] = append([]byte(nil), model[offset:offset+length]...), buffer
				want[tag] = int32(length)
				tag++
			} else {
				fill(buffer, byte(random.Uint32()))
				copy(model[offset:], buffer)
				flags := ports.WriteFlags(random.IntN(4))
				if round%8 != 0 {
					flags &^= ports.WriteDurable
				}
				disk.Write(tag, uint64(offset), buffer, flags)
				want[tag] = int32(length)
				tag++
				if flags&ports.WriteLinked != 0 {
					buffer = memory[tag*8*sectorBytes:][:length]
					disk.Read(tag, uint64(offset), buffer)
					expected[tag], buffers[tag] = append([]byte(nil), model[offset:offset+length]...), buffer
					want[tag] = int32(length)
					tag++
				}
			}
			sector += count
			if random.IntN(4) == 0 {
				h.thread.Turn()
			}
		}
		if len(want) == 0 {
			continue
		}
		h.expect(disk, want)
		for tag, data := range expected {
			if !bytes.Equal(buffers[tag], data) {
				t.Fatalf("round %d: read %d differs from the model", round, tag)
			}
		}
	}
	whole, err := os.ReadFile(filepathOf(file.Fd))
	if err != nil || !bytes.Equal(whole, model) {
		t.Errorf("the file differs from the model (error %v)", err)
	}
}

// Goal: more operations than promised are our own mistake, and completions count until they have
// been polled.
func testDiskBudget(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(4 * sectorBytes)
	disk := h.thread.Disk(file.Fd, 2)
	h.start()
	buffer := h.bytes(sectorBytes, 1)
	disk.Read(1, 0, buffer)
	disk.Read(2, 0, buffer)
	if !panics(func() { disk.Read(3, 0, buffer) }) {
		t.Error("a third operation was taken where two are allowed")
	}
	h.expect(disk, map[uint64]int32{1: sectorBytes, 2: sectorBytes})
	disk.Read(4, 0, buffer)
	h.expect(disk, map[uint64]int32{4: sectorBytes})
}

// Goal: the ports of a thread do not see each other's completions.
func testTwoDisks(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	first, second := h.dataFile(4*sectorBytes), h.dataFile(4*sectorBytes)
	disks := []ports.Disk{h.thread.Disk(first.Fd, 4), h.thread.Disk(second.Fd, 4)}
	h.start()
	for i, disk := range disks {
		disk.Write(7, 0, h.bytes(sectorBytes, byte(i)), ports.WriteDurable)
		disk.Write(8, sectorBytes, h.bytes((i+1)*sectorBytes, byte(i)), 0)
	}
	for i, disk := range disks {
		h.expect(disk, map[uint64]int32{7: sectorBytes, 8: int32((i + 1) * sectorBytes)})
		buffer := h.memory.Bytes(sectorBytes, sectorBytes, "test")
		disk.Read(9, 0, buffer)
		h.expect(disk, map[uint64]int32{9: sectorBytes})
		if !bytes.Equal(buffer, h.bytes(sectorBytes, byte(i))) {
			t.Errorf("disk %d holds what was written to the other", i)
		}
	}
}

func filepathOf(fd int) string {
	path, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(fd)))
	if err != nil {
		panic(err)
	}
	return path
}
