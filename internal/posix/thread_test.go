package posix_test

import (
	"testing"

	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/internal/posix"
)

func backend(options ports.ThreadOptions) (ports.Thread, error) { return posix.NewThread(options) }

// Goal: plain system calls keep every promise of package ports.
func TestThread(t *testing.T) { portstest.Run(t, backend) }

func BenchmarkThread(b *testing.B) { portstest.Bench(b, backend) }

// Goal: two of its networks keep every promise about connections between them.
func TestPairs(t *testing.T) { portstest.RunPairs(t, portstest.ThreadPair(backend)) }
