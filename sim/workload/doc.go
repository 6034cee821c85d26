// Package workload makes up what clients ask, plays the clients, and judges what they saw.
//
//	seed --> [Generator] --requests--> [Client] --frames--> network
//	             ^                      |  |  ^
//	             '---- what happened ---'  |  '----frames---- network
//	                                       v
//	                        log --> [Judge] (package model)
//
// The Generator covers what the rules allow and forbid: every flag, status, filter and body form,
// mostly with success. It remembers what replies told it, so that later requests can build on it.
// The Client is the protocol of one client without clock or socket: the caller hands it time and
// frames and takes frames. The Judge compares exchanges with the log.
//
// In:     a seed, a Profile, the Limits of the server; virtual time; frames; for the Judge the
// committed requests.
// Out:    requests, frames, and every Exchange. The same seed and inputs give the same bytes.
// Owns:   the memory of what was created, bounded (rememberedMax of each kind).
// Limits: bodies fit the request limit unless they are invalid on purpose.
// Faults: a reply that breaks the protocol is an error for the judge; a damaged frame is not
// (networks do that).
// Source: accounting (all of it); wire protocol, sections 1.2 to 1.6, 2, 4, 6.
package workload
