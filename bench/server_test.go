package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"ledger/internal/arena"
	"ledger/wire"
)

// Goal: a server of our own is started, used and removed; LEDGER_BIN names the program.
func TestServer(t *testing.T) {
	binary := os.Getenv("LEDGER_BIN")
	if binary == "" {
		t.Skip("LEDGER_BIN names no server")
	}
	t.Chdir(t.TempDir())
	server, err := StartServer(context.Background(), ServerOptions{Binary: binary, StartFlags: []string{"--cache-grid=128MiB"}})
	if err != nil {
		t.Fatal(err)
	}
	o := small([]string{server.Address})
	o.IDOrder, o.Validate = IDOrderRandom, true
	_, err = Run(context.Background(), o, nil)
	result, stopErr := server.Stop()
	if err != nil || stopErr != nil {
		t.Fatal(err, stopErr)
	}
	if result.MemoryBytesMax == 0 || result.FileBytes < result.FileBytesEmpty {
		t.Errorf("%+v", result)
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("files left: %q", left)
	}
	if _, err := StartServer(context.Background(), ServerOptions{Binary: binary, File: t.TempDir()}); err == nil {
		t.Error("a directory is taken as a data file")
	}
}

// BenchmarkServer puts a load on a whole server, that of LEDGER_BIN, on a data file of its own;
// each iteration is a new server. The limit is the bare work on tables in memory for each transfer;
// for lone ones, of the median latency, the bare disk and sockets.
func BenchmarkServer(b *testing.B) {
	binary := os.Getenv("LEDGER_BIN")
	if binary == "" {
		b.Skip("LEDGER_BIN names no server")
	}
	b.Chdir(benchmarkDirectory(b))
	for _, workload := range []struct {
		name   string
		change func(*Options)
	}{
		{"full", func(*Options) {}},
		{"random", func(o *Options) { o.IDOrder = IDOrderRandom }},
		{"pending", func(o *Options) { o.TransferPending = true }},
		{"batch-1", func(o *Options) { o.TransferCount, o.TransferBatchCount = 2000, 1 }},
		{"batch-1x32", func(o *Options) { o.TransferCount, o.TransferBatchCount, o.ClientsCount = 40_000, 1, 32 }},
	} {
		b.Run(workload.name, func(b *testing.B) {
			o := DefaultOptions()
			o.TransferCount = 500_000
			workload.change(&o)
			var rate, p50, p99, p100, cpu float64
			for b.Loop() {
				server, err := StartServer(context.Background(), ServerOptions{Binary: binary})
				if err != nil {
					b.Fatal(err)
				}
				o.Addresses = []string{server.Address}
				r, err := Run(context.Background(), o, nil)
				used, stopErr := server.Stop()
				if err != nil || stopErr != nil {
					b.Fatal(err, stopErr)
				}
				rate += r.Transfers.RatePerSecond
				p50 += float64(r.Transfers.Latency.At(50))
				p99 += float64(r.Transfers.Latency.At(99))
				p100 += float64(r.Transfers.Latency.MaxNs)
				cpu += float64(used.CPUNs)
			}
			n := float64(b.N)
			b.ReportMetric(rate/n, "transfers/s")
			b.ReportMetric(p50/n/1000, "p50-us")
			b.ReportMetric(p99/n/1000, "p99-us")
			b.ReportMetric(p100/n/1000, "p100-us")
			b.ReportMetric(cpu/n/float64(o.TransferCount), "server-cpu-ns/transfer")
			if o.TransferBatchCount > 1 {
				share(b, "table", limitTable(), 1e9/(rate/n))
				return
			}
			// A small request waits for its way over loopback, and for the two durable writes of the prepare
			// that it shares.
			memory := arena.New()
			defer memory.Close()
			write := bareWrite(b, openFile(b, 64<<20, memory), memory.Bytes(4096, 4096, "bare"), 64)
			share(b, "disk+loopback", 2*write+bareLoopback(b, 2*wire.HeaderBytes), p50/n)
		})
	}
}
