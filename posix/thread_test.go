package posix_test

import (
	"testing"

	"ledger/ports"
	"ledger/ports/portstest"
	"ledger/posix"
)

func backend(options ports.ThreadOptions) (ports.Thread, error) { return posix.NewThread(options) }

// Goal: plain system calls keep every promise of package ports.
func TestThread(t *testing.T) { portstest.Run(t, backend) }

func BenchmarkThread(b *testing.B) { portstest.Bench(b, backend) }
