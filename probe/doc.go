// Package probe asks the servers of a cluster, as a client would, whether they would serve one, and
// says why not.
//
//	Run --one connection for each address--> ping_client, then a request without a session
//	    <--pong_client, eviction, silence, or the end of the connection--
//	    --> Report: a verdict, and what each address did
//
// A probe takes no place in the table of sessions and changes nothing. Its request names a session
// that does not exist. Only a primary that takes requests answers it, with the eviction
// "no_session". A backup ignores it.
//
// In:     the addresses of the replicas, by index, and the cluster's id.
// Out:    a Report, in Options.Timeout or less.
// Owns:   its connections, which are closed when Run returns.
// Limits: one probe of each address; waits end at the deadline.
// Faults: every failure is a state of its address. There is no error.
// Source: specification, "Client wire protocol", 1.1, 1.3, 1.5 and 4.6.
//
// A primary that lost the others notices it only when a request waits. So a primary alone proves no
// quorum: as many replicas have to answer as commit an op. They are reached from here, which is no
// proof that they reach each other; a commit is one (ledger ping --register).
package probe
