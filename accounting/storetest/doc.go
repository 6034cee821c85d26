// Package storetest compares a Store with the memory store: both get the same traffic through the
// same rules.
//
//	Traffic --request--> Machine over the candidate --reply--+
//	           |                                             +--> equal, or the test fails
//	           +-------> Machine over memory.Store --reply---+
//
// In:     a seeded source of randomness, and the Store to test; Reopened after a restart.
// Out:    a failed test at the first difference, with the request.
// Owns:   the reply buffers. It allocates, and is only for tests.
// Limits: bodies stay below 64 KiB. Other tests cover full batches.
// Faults: those of the Store, reported through testing.TB.
// Source: accounting.Store; specification, "Accounting state machine".
package storetest
