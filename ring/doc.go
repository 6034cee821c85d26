// Package ring carries small descriptors between two stages, and lets a thread sleep until one
// arrives.
//
//	producer stage --Push--> [SPSC] --Pop--> consumer stage
//	producer stage --Wake--> [Parker of the consumer's thread] --eventfd--> its one kernel wait
//
// In:     fixed-size descriptors (a handle and an opcode), from one thread per ring; wakes from any
// thread.
// Out:    the same descriptors, in the same order, each exactly once, to one thread per ring.
// Owns:   the slots, and one eventfd per Parker. The object that a descriptor names changes its
// owner with Push. The producer must not use it any more.
// Limits: a ring holds its capacity, a power of two that is fixed at construction. After that,
// nothing is allocated. Each edge has a budget of descriptors, and its ring is at least as long. So
// a stage asserts that its push fitted.
// Faults: none from outside. A wait may end early (signal, stale wake), so every caller checks its
// inputs again.
// Source: design, sections 2 "The pipeline" and "Parking".
//
// # Waiting
//
// A Parker belongs to a thread, not to a ring, because a thread sleeps in one place for all events.
// The protocol is
//
//	consumer                                     producer
//	p.Prepare()             word = 1             ring.Push(...)   publish
//	look at every input once more                waker.Wake()     word != 0? swap it to 0;
//	nothing: wait in the kernel                                   who swapped a 1 writes the eventfd
//	p.Cancel()              word = 0
//
// Each side stores first and then loads, and Go's atomics keep that order. So either the consumer's
// second look sees the published item, or the producer's load sees the word. Both may happen; then
// the next wait ends at once. With an io_uring, the wait is its enter call, and a read of
// FileDescriptor is always armed. Without one, the wait is WaitPlain. A thread uses only one of the
// two during the life of the Parker.
//
// # Why an eventfd
//
// Waking a futex is a little cheaper. But a thread that waits on a futex cannot wait for a socket
// or for the disk at the same time. The difference is small compared to the cost of resuming an
// idle core. See the benchmarks, measured on a 2-core EPYC guest with other load, Linux 6.18, Go
// 1.26:
//
//	push and pop on one thread                    25 ns; in groups of 32, 1.2 ns per item
//	stream between pinned cores, both spin       120 ns; in groups of 32, 4.2 ns per item
//	hop, ring empty, both spin                   150-200 ns pinned, 110-230 unpinned
//	hop, consumer parked, eventfd and ppoll      26-40 us pinned, 8-28 us unpinned
//	hop, consumer parked, futex                  25-26 us pinned, 20-28 us unpinned
//	Wake: owner awake                            0.7 ns; owner prepared but not yet asleep, 430 ns
package ring
