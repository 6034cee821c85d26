// Package metrics counts and measures at little cost, and copies the figures for other threads.
//
//	stage thread --Record, plain adds--> its own Histograms and counters
//	admin thread --Ask--> Exchange --Wanted--> stage thread copies them
//	                                                                  |
//	admin thread reads the copy <------------Answer-------------------+
//
// In:     figures, from the one thread that owns them.
// Out:    consistent copies: all figures of a thread are of the same moment.
// Owns:   nothing; a Histogram lies in its stage, an Exchange between two threads.
// Limits: a histogram has CellsCount cells. Values of 2^40 and more share the last one. The
// error of a value is an eighth.
// Faults: if a thread does not answer in time (a long system call, a stopped server), its previous
// figures are shown.
// Source: design, section 7.
//
// # Why copies on demand
//
// Go's atomic stores are exchanges on amd64. An exchange takes 5 ns and more, as much as a ring
// takes per handle. So the owner counts in plain words, at the cost of an increment. Once per
// scrape, the admin thread asks, and the owner copies its figures between two turns. That takes
// some microseconds every few seconds. In between, a turn only loads one cache line that does not
// change. The owner writes a copy only between a question and its answer, and the asker reads it
// only after the answer. So nothing else needs to be atomic.
//
// The HTTP endpoint is in package admin, so that stages do not import it.
package metrics
