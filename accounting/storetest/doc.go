// Package storetest judges a Store by its answers: the same traffic through the same rules, over it
// and over memory.
//
//	Traffic --request--> Machine over the candidate --reply--+
//	           |                                             +--> equal, or the test fails
//	           +-------> Machine over memory.Store --reply---+
//
// In:     a seeded source of randomness, and the Store to judge; Reopened after a restart.
// Out:    a failed test at the first difference, with the request.
// Owns:   the reply buffers. It allocates, and belongs to tests only.
// Limits: bodies stay below 64 KiB. Full batches are a matter of other tests.
// Faults: those of the Store, reported through testing.TB.
// Source: accounting.Store; specification, "Accounting state machine".
package storetest
