// Package accounting is the rules of the ledger as pure code: what each request changes, and what
// it answers.
//
//	log entry --Execute, Pulse--> [Machine] --reads, writes--> Store
//	                                  |
//	                                  +--reply body--> the caller's buffer
//
// A reply is a function of the state and of the log entry (operation, timestamp, request limit,
// body). The Machine reads no clock, no setting of this process and no cache, so every replica
// answers alike.
//
// In:     requests in log order, their bodies checked by the validity rules of the wire protocol
// and aligned to 8 bytes.
// Out:    the reply body, written straight into the caller's buffer; changes, as calls to Store.
// Owns:   scratch records for one event. State is the Store's, save next_pulse, which restarts at 1
// (7.3).
// Limits: a reply is at most Limits.BodyBytesMax; a pulse expires at most as many as a request
// could create.
// Faults: what a client sends wrong is a status or an empty result. A Store that contradicts itself
// is a panic.
// Source: specification, "Accounting state machine"; numbers in comments are its sections and
// lines.
//
// Read in this order: machine.go (one request), batch.go (chains, imports, event times),
// accounts.go, transfers.go and resolving.go (one event), exists.go (the same event again),
// pulse.go (expiry), query.go (reads).
package accounting
