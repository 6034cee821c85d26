// Package interop holds tests of a real server process through the official clients.
//
// In:     LEDGER_BIN, the server binary (default ../bin/ledger).
// Out:    client_test.go: what the Go client can do; crash_test.go: nothing acknowledged is lost by
// kill -9; cli_test.go: what harnesses rely on; frames: raw recordings; conformance: recorded
// workloads; node, python: other clients.
// Owns:   the servers it starts; they end with the test, at the latest with the test process.
// Limits: every wait is bounded; each call of a client gets callWithin.
// Faults: a failure prints the end of the server's own output.
// Source: specification, "Client wire protocol", "Accounting" and "Command line".
package interop
