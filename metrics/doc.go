// Package metrics counts and measures without being noticed, and hands the figures to whoever asks.
//
//	stage thread --Record, plain adds--> its own Histograms and counters
//	admin thread --Ask--> Exchange --Wanted--> stage thread copies them
//	                                                                  |
//	admin thread reads the copy <------------Answer-------------------+
//
// In:     figures, from the one thread that owns them.
// Out:    copies that are whole: all figures of a thread are of the same moment.
// Owns:   nothing; a Histogram lies in its stage, an Exchange between two threads.
// Limits: a histogram has CellsCount cells, values of 2^40 and more share the last one; the
// error of a value is an eighth.
// Faults: a thread that does not answer in time (a long system call, a stopped server) is shown as
// it was last seen.
// Source: design, section 7.
//
// # Why copies on demand
//
// Go's atomic stores are exchanges on amd64: 5 ns and more, which is as much as a ring takes per
// handle. So the owner counts in plain words, the cost of an increment. Once per scrape the admin
// thread asks, and the owner, between two turns, copies its figures: some microseconds every few
// seconds, and one load of an unchanging line per turn in between. What is asked for at most once
// at a time is never written while it is read, so nothing else needs to be atomic.
//
// The HTTP endpoint is in package admin, so that stages do not carry it.
package metrics
