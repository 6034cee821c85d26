// Package workload makes the requests of clients, plays the clients, and checks their replies.
//
//	seed --> [Generator] --requests--> [Client] --frames--> network
//	             ^                      |  |  ^
//	             '------- replies ------'  |  '----frames---- network
//	                                       v
//	                        log --> [Judge] (package model)
//
// The Generator covers everything that the rules allow and forbid: every flag, status, filter and
// body form. Most of its requests succeed. It remembers the content of replies, so that later
// requests can build on it. The Client is the protocol of one client without clock and socket: its
// caller provides time and received frames, and takes the frames to send. The Judge compares
// exchanges with the log.
//
// In:     a seed, a Profile, the Limits of the server; virtual time; frames; for the Judge the
// committed requests.
// Out:    requests, frames, and every Exchange. The same seed and inputs give the same bytes.
// Owns:   the memory of created objects, bounded (rememberedMax of each kind).
// Limits: bodies fit the request limit, unless they are invalid on purpose.
// Faults: a reply that breaks the protocol is an error for the judge. A damaged frame is not,
// because networks damage frames.
// Source: accounting (all of it); wire protocol, sections 1.2 to 1.6, 2, 4, 6.
package workload
