// Package arena reserves the memory of the data path. It is mapped memory outside of the Go heap,
// counted by name.
//
// In:     sizes, from the limits, while the server is being built.
// Out:    byte slices and typed slices of pointer-free records, zeroed, aligned, at addresses that
// never change.
// Owns:   every mapping until Close. A slice of an arena must not be used after it.
// Limits: none of its own. Entries lists the reservations, for the sums of start and the metrics.
// Faults: if the kernel refuses a mapping, there is a panic with an *Error. Start catches it and
// ends with its message.
//
// Go's collector neither walks nor moves this memory. So its addresses may be given to the kernel,
// and its size adds nothing to the time of a collection. A reservation does not touch pages, so
// memory that load never needs is never used. Populate touches the memory that load needs at once.
// Huge pages are off by default, because one touched byte would then take 2 MiB.
//
// Each reservation has a class in its Options: a buffer, a cache, a slot, a table or an index. The
// class tells how load touches it. From the classes, start calculates the memory that it expects to
// use, and placement finds the caches, which are locked.
//
// The race detector checks only memory that the Go runtime has allocated. In a build with -race,
// the arena therefore takes its memory from the Go heap, with the same alignment and without advice
// to the kernel (map_race.go).
//
// One thread fills an Arena, at start. A Pool belongs to one thread, except for Bytes, which any
// thread may call.
//
// Source: design, sections 2 (slots) and 10 (memory).
package arena
