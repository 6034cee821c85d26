// Package client speaks the client protocol with our servers, and with any other that serves the
// official clients.
//
//	callers --typed calls--> [Client] --merged requests--> [Session] --frames--> every replica
//	                                                           ^
//	                                             timer: hedge, retry, ping
//
// A Session is one place in the servers' session table, so it has at most one request in flight. Do
// sends a Message that the caller has filled in place, and fills another with the reply. A Session
// is for bulk load and does not allocate per request. A Client shares one Session among any number
// of goroutines. Calls that come while a request is in flight are merged: many calls of one
// operation become batches of the next message.
//
// In:     addresses of the replicas, a cluster id; batches of records, which are views of their
// wire form.
// Out:    replies, or an error: *EvictedError (the session has ended), ErrClosed, ErrTooMuchData,
// or the context's own.
// Owns:   its connections; a request's Message and its reply's from Begin until the request is
// answered.
// Limits: one request in flight per Session; a body of at most Session.BodyBytesMax, which the
// server tells.
// Faults: after a lost connection, a slow or dead replica, or a lost reply, the same bytes are sent
// again, without end. So a request takes effect at most once, and only the context ends the wait. A
// request whose context ended may still take effect, and the session goes on once it is answered. A
// message that breaks the protocol closes its connection.
// Source: specification, "Client wire protocol", 1.2 to 1.6, 4 and 9.4.
//
// The package needs only the wire format of the server, and no flag for the linker.
package client
