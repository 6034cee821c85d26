// Package client speaks the client protocol: to our servers, and to any other that serves the
// official clients.
//
//	callers --typed calls--> [Client] --merged requests--> [Session] --frames--> every replica
//	                                                           ^
//	                                             timer: hedge, retry, ping
//
// A Session is one place in the servers' session table, so it has at most one request in flight: Do
// sends a Message that the caller filled in place, and fills another with the reply. It is for bulk
// load and allocates nothing per request. A Client shares one Session among any number of
// goroutines: what is called while a request is in flight is merged into the next, many calls of
// one operation as batches of one message.
//
// In:     addresses of the replicas, a cluster id; batches of records, which are views of their
// wire form.
// Out:    replies, or an error: *EvictedError (the session is over), ErrClosed, ErrTooMuchData, or
// the context's own.
// Owns:   its connections; a request's Message and its reply's from Begin until the request is
// answered.
// Limits: one request in flight per Session; a body of at most Session.BodyBytesMax, told by the
// server.
// Faults: a lost connection, a slow or dead replica and a lost reply are retried for ever with the
// same bytes, so a request takes effect at most once; only the context ends the wait. A request
// whose context ended may still take effect, and the session goes on once it is answered. A message
// that breaks the protocol closes its connection.
// Source: specification, "Client wire protocol", 1.2 to 1.6, 4 and 9.4.
//
// The package needs nothing of the server but the wire format, and no flag for the linker.
package client
