// Package accounting is the rules of the ledger as pure code: the changes that each request makes,
// and its reply.
//
//	log entry --Execute, Pulse--> [Machine] --reads, writes--> Store
//	                                  |
//	                                  +--reply body--> the caller's buffer
//
// A reply is a function of the state and of the log entry (operation, timestamp, request limit,
// body). The Machine reads no clock, no setting of this process and no cache, so every replica
// gives the same reply.
//
// In:     requests in log order. Their bodies have passed the validity rules of the wire protocol
// and are aligned to 8 bytes.
// Out:    the reply body, written straight into the caller's buffer; changes, as calls to Store.
// Owns:   scratch records for one event. The state belongs to the Store. The exception is
// next_pulse, which is 1 again after a start (7.3).
// Limits: a reply is at most Limits.BodyBytesMax. A pulse expires at most as many transfers as one
// request could create.
// Faults: an invalid event or filter gets a status or an empty result. A Store that contradicts
// itself is a panic.
// Source: specification, "Accounting state machine"; numbers in comments are its sections and
// lines.
//
// Read in this order: machine.go (one request), batch.go (chains, imports, event times),
// accounts.go, transfers.go and resolving.go (one event), exists.go (the same event again),
// pulse.go (expiry), query.go (reads).
package accounting
