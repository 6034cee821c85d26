package uring

import (
	"errors"
	"testing"

	"ledger/internal/ports"
	"ledger/internal/portstest"
)

func backend(options ports.ThreadOptions) (ports.Thread, error) { return NewThread(options) }

// skipWithout skips on machines without io_uring: there the server runs on package posix.
func skipWithout(t testing.TB) {
	r, err := newRing()
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.close()
}

// Goal: io_uring keeps every promise of package ports.
func TestThread(t *testing.T) {
	skipWithout(t)
	portstest.Run(t, backend)
}

// Goal: two of its networks keep every promise about connections between them.
func TestPairs(t *testing.T) {
	skipWithout(t)
	portstest.RunPairs(t, portstest.ThreadPair(backend))
}

func BenchmarkThread(b *testing.B) {
	skipWithout(b)
	portstest.Bench(b, backend)
}
