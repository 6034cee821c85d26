// Package arena reserves the memory of the data path: mapped, outside the Go heap, counted by name.
//
// In:     sizes, from the limits, while the server is being built.
// Out:    byte slices and typed slices of pointer-free records, zeroed, aligned, at addresses that
// never change.
// Owns:   every mapping until Close; a slice of an arena must not be used after it.
// Limits: none of its own. Entries lists what was reserved, for the sums of start and the metrics.
// Faults: a mapping that the kernel refuses is a panic with an *Error (start-up catches it and ends
// with its message).
//
// The collector neither walks nor moves this memory, so its addresses may be given to the kernel
// and its size costs no collection time. Pages are reserved, not touched: what load never needs is
// never paid for; what it needs at once, Populate touches. Huge pages are refused unless asked for,
// because one touched byte would then cost 2 MiB.
//
// Each reservation has a class in its Options: a buffer, a cache, a slot, a table or an index. The
// class says how load touches it. From the classes start sums up how much memory it expects to use,
// and placement finds the caches, which are locked.
//
// The race detector checks only memory that the Go runtime has allocated. In a build with -race the
// arena therefore takes its memory from the Go heap, with the same alignment and without advice to
// the kernel (map_race.go).
//
// An Arena is filled by one thread, at start. A Pool belongs to one thread, apart from Bytes, which
// all may call.
//
// Source: design, sections 2 (slots) and 10 (memory).
package arena
