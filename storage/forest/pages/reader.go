package pages

import (
	"ledger/storage"
	"ledger/storage/grid"
)

// Missing is told of a page that execution waits for. It starts the read of that page and may
// start others behind it, so that they are read together.
type Missing interface {
	PageMissing(ref storage.Ref, number uint32)
}

// Reader reads pages. It belongs to one thread.
type Reader struct {
	grid    *grid.Grid
	waiter  storage.Waiter
	missing Missing
	fault   *storage.Fault
	waits   uint64
}

// New returns a reader of the grid's pages. waiter suspends the caller until a page has been read.
func New(g *grid.Grid, waiter storage.Waiter) *Reader { return &Reader{grid: g, waiter: waiter} }

// OnMissing names who is told of pages that execution waits for.
func (r *Reader) OnMissing(missing Missing) { r.missing = missing }

// Page returns a page and waits until it has been read. The page is valid until the next call that
// may wait.
func (r *Reader) Page(ref storage.Ref, number uint32) []byte {
	if page := r.grid.Lookup(ref, number); page != nil {
		return page
	}
	return r.read(ref, number)
}

//go:noinline
func (r *Reader) read(ref storage.Ref, number uint32) []byte {
	r.waits++
	if r.missing != nil {
		r.missing.PageMissing(ref, number)
	}
	return r.grid.Page(ref, number, r.waiter)
}

// Lookup returns a page that is in memory, or nil.
func (r *Reader) Lookup(ref storage.Ref, number uint32) []byte { return r.grid.Lookup(ref, number) }

// Try returns a page that is in memory. If it is not, its read is started.
func (r *Reader) Try(ref storage.Ref, number uint32) ([]byte, bool) { return r.grid.Try(ref, number) }

// Start starts the read of a page that execution waits for.
func (r *Reader) Start(ref storage.Ref, number uint32) { r.grid.Start(ref, number) }

// Warm starts the read of a page, unless all reads that are not urgent are taken. Then it returns
// false.
func (r *Reader) Warm(ref storage.Ref, number uint32) bool { return r.grid.Warm(ref, number) }

// InFlight is the number of reads under way.
func (r *Reader) InFlight() int { return r.grid.InFlight() }

// Wait suspends the caller until the grid has made progress.
func (r *Reader) Wait() { r.waiter.Wait() }

// Breathe is a point at which a step that has lasted long may pause.
func (r *Reader) Breathe() { r.waiter.Breathe() }

// Waited counts a page that was waited for without Page.
func (r *Reader) Waited() { r.waits++ }

// Waits is the number of pages that were not in memory when they were needed.
func (r *Reader) Waits() uint64 { return r.waits }

// Fault returns the reason why the forest cannot go on, or nil.
func (r *Reader) Fault() *storage.Fault {
	if r.fault != nil {
		return r.fault
	}
	return r.grid.Fault()
}

// Failed tells whether Fail was called.
func (r *Reader) Failed() bool { return r.fault != nil }

// Fail notes a fault and never returns.
func (r *Reader) Fail(fault *storage.Fault) {
	r.fault = fault
	for {
		r.waiter.Wait()
	}
}

// FailFull is Fail for a data file without a free block.
func (r *Reader) FailFull() {
	r.Fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the data file has reached --limit-storage: no free block is left"})
}

// Lend, Keep, Return and Forget are those of the grid.
func (r *Reader) Lend() (memory []byte, number uint32) { return r.grid.Lend() }

// Keep makes a block that was built in lent memory readable.
func (r *Reader) Keep(number uint32, ref storage.Ref, pages uint32) { r.grid.Keep(number, ref, pages) }

// Return takes lent memory back.
func (r *Reader) Return(number uint32) { r.grid.Return(number) }

// Forget drops a block from the memory that was lent for it.
func (r *Reader) Forget(address uint64) { r.grid.Forget(address) }

// Reset forgets the fault.
func (r *Reader) Reset() { r.fault = nil }
