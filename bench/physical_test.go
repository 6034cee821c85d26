package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/prepare"
	"ledger/wire"
)

// The benchmarks of this package print, beside their own figures, which share of a limit of this
// machine they reach: "%disk" is the time that the bare work on the disk takes, in percent of what
// ours takes. 100 is the limit; the limits are measured in the same run, so that shares compare
// between machines. What only computes is measured in processor time of its thread, for the machine
// may be shared.
//
//	go test ./bench -run '^$' -bench . -count=10 | tee new.txt; benchstat old.txt new.txt
//
// LEDGER_BENCH_DIR names the directory, and so the disk, of the data files; without it, it is the
// system's for temporary files.

const fullBytes = wire.MessageBytesMax

// The sizes that matter: a message with little in it, in whole sectors, and a full one; and the
// numbers of transfers in them.
var (
	sizes        = []uint32{4096, fullBytes}
	eventsCounts = []int{1, 8189}
)

func sizeName(bytes uint32) string { return fmt.Sprintf("%dKiB", bytes>>10) }

// threadTime is the processor time of this thread, which must be locked.
func threadTime() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) // cannot fail for this clock
	return now.Nano()
}

// computes runs b's loop on one thread and returns its processor time per iteration. The caller has
// called lockThread.
func computes(b *testing.B, body func()) (nsPerIteration float64) {
	b.ReportAllocs()
	before := threadTime()
	for b.Loop() {
		body()
	}
	return float64(threadTime()-before) / float64(b.N)
}

// lockThread keeps the benchmark on its thread to the end: coroutines must be made, resumed and
// stopped under the same lock, so there is no unlocking before the benchmark's goroutine ends.
func lockThread() { runtime.LockOSThread() }

// share reports which part of a limit is reached: limitNs is what the bare work takes.
func share(b *testing.B, limit string, limitNs, ns float64) {
	if ns > 0 {
		b.ReportMetric(100*limitNs/ns, "%"+limit)
	}
}

// fastest is the least processor time of several runs of body, which is the machine's limit: all
// else is disturbance.
func fastest(body func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := int64(1 << 62)
	for range 20 {
		before := threadTime()
		body()
		best = min(best, threadTime()-before)
	}
	return float64(best)
}

// Limits of computing, in nanoseconds per byte of a full message.
var (
	limitCopy = sync.OnceValue(func() float64 {
		// More memory than the caches hold: a message is never warm when it is copied for the first time.
		from, to := make([]byte, 64<<20), make([]byte, 64<<20)
		for i := range from {
			from[i] = byte(i) // untouched, all of it would be one page of zeros
		}
		return fastest(func() { copy(to, from) }) / (64 << 20)
	})
	limitAEGIS = sync.OnceValue(func() float64 {
		data := make([]byte, fullBytes)
		return fastest(func() { wire.ChecksumOf(data) }) / fullBytes
	})
	limitBLAKE3 = sync.OnceValue(func() float64 {
		data := make([]byte, fullBytes)
		return fastest(func() { prepare.Sum(data) }) / fullBytes
	})
)

// limitTable is the bare work of a transfer on tables in memory, in nanoseconds: find two accounts,
// change their balances, enter an id. No rule, no log, no index: what remains are the cache misses
// that no ledger can avoid.
var limitTable = sync.OnceValue(func() float64 {
	const accounts, slots, transfers = 10_000, 1 << 22, 1 << 18
	balances := make([]client.Account, 1<<14)
	table := make([][2]uint64, slots)
	round := uint64(0)
	return fastest(func() {
		round++
		for i := range uint64(transfers) {
			bits := mix(round<<32 | i)
			debit, credit := &balances[bits%accounts], &balances[bits>>32%accounts]
			debit.DebitsPosted.Lo += i
			credit.CreditsPosted.Lo += i
			at := mix(bits) % slots
			for probes := 0; table[at][0] != 0 && probes < 4; probes++ {
				at = (at + 1) % slots
			}
			table[at] = [2]uint64{bits, i}
		}
	}) / transfers
})

// benchmarkDirectory is where data files are made.
func benchmarkDirectory(b *testing.B) string {
	if directory := os.Getenv("LEDGER_BENCH_DIR"); directory != "" {
		made, err := os.MkdirTemp(directory, "ledger-bench-")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = os.RemoveAll(made) })
		return made
	}
	return b.TempDir()
}

// openFile makes a data file of sizeBytes, preallocated and written once, as format leaves the log.
func openFile(b *testing.B, sizeBytes uint64, memory *arena.Arena) *posix.DataFile {
	file, err := posix.OpenDataFile(filepath.Join(benchmarkDirectory(b), "data"), posix.OpenOptions{
		Create: true, DirectOptional: true, SectorBytes: 4096,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	if !file.Direct {
		b.Log("no direct I/O here: the disk's limit is that of the page cache")
	}
	zeros := memory.Bytes(fullBytes, 4096, "zeros")
	for at := uint64(0); at < sizeBytes; at += fullBytes {
		if err := file.WriteAt(zeros, at); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
	return file
}

// bareWrite is the disk's own time for a durable write, in nanoseconds: the median of some.
func bareWrite(b *testing.B, file *posix.DataFile, buffer []byte, slots uint64) float64 {
	var times []int64
	for i := range uint64(64) {
		begun := time.Now()
		if err := file.WriteAt(buffer, i%slots*uint64(len(buffer))); err != nil {
			b.Fatal(err)
		}
		times = append(times, int64(time.Since(begun)))
	}
	return float64(median(times))
}

func median(values []int64) int64 {
	h := newHistogram()
	for _, value := range values {
		_ = h.RecordValue(value)
	}
	return h.ValueAtPercentile(50)
}

// bareLoopback is the kernel's time to take so many bytes over a connection and a header back, in
// nanoseconds: the median.
func bareLoopback(b *testing.B, requestBytes int) float64 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		buffer := make([]byte, requestBytes)
		for {
			if _, err := io.ReadFull(connection, buffer); err != nil {
				return
			}
			if _, err := connection.Write(buffer[:wire.HeaderBytes]); err != nil {
				return
			}
		}
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	buffer := make([]byte, requestBytes)
	var times []int64
	for range 200 {
		begun := time.Now()
		if _, err := connection.Write(buffer); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(connection, buffer[:wire.HeaderBytes]); err != nil {
			b.Fatal(err)
		}
		times = append(times, int64(time.Since(begun)))
	}
	return float64(median(times))
}

// BenchmarkLimits shows the limits themselves.
func BenchmarkLimits(b *testing.B) {
	for _, limit := range []struct {
		name      string
		nsPerByte func() float64
	}{{"copy", limitCopy}, {"aegis", limitAEGIS}, {"blake3", limitBLAKE3}} {
		b.Run(limit.name, func(b *testing.B) {
			for b.Loop() {
				limit.nsPerByte()
			}
			b.ReportMetric(1/limit.nsPerByte(), "GB/s")
			b.ReportMetric(limit.nsPerByte()*fullBytes, "ns/message")
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			limitTable()
		}
		b.ReportMetric(limitTable(), "ns/transfer")
		b.ReportMetric(0, "ns/op")
	})
	for _, sizeBytes := range sizes {
		b.Run("disk/"+sizeName(sizeBytes), func(b *testing.B) {
			memory := arena.New()
			defer memory.Close()
			file := openFile(b, 64<<20, memory)
			buffer := memory.Bytes(uint64(sizeBytes), 4096, "buffer")
			ns := 0.0
			for b.Loop() {
				ns = bareWrite(b, file, buffer, 64)
			}
			b.ReportMetric(ns, "ns/write")
			b.ReportMetric(float64(sizeBytes)/ns, "GB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
	for _, sizeBytes := range sizes {
		b.Run("loopback/"+sizeName(sizeBytes), func(b *testing.B) {
			ns := 0.0
			for b.Loop() {
				ns = bareLoopback(b, int(sizeBytes))
			}
			b.ReportMetric(ns, "ns/roundtrip")
			b.ReportMetric(0, "ns/op")
		})
	}
}
