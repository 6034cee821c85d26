// Package cluster tests clusters of three real server processes on loopback.
//
//	clients --> [link per replica] --> replica 0 <-- [link per pair] --> replica 1 ...
//
// In:     LEDGER_BIN, the server binary (default ../bin/ledger); KILLS and the flags of long runs.
// Out:    the tests, and lines with the times that were measured; times never decide pass or fail.
// Owns:   the servers, proxies and clients that a test starts; they end with the test.
// Limits: every wait is bounded; a data file grows to at most limitStorage.
// Faults: a failure prints the end of each replica's output, and the seed of the choices.
// Source: issue 10, "Real processes" and "It must show"; docs/design/consensus.md.
//
// Three judges look at a run. A checker of histories (porcupine) searches an order of all calls in
// which each answer is right and no call is before one that had ended before it began. An audit
// compares all balances and transfers with what was acknowledged. The digests of the three data
// files at one checkpoint have to be equal.
package cluster
