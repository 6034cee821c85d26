// Package net turns bytes of sockets into whole, verified client messages, and replies into bytes.
//
//	clients --bytes--> [net] --NetMessage, NetSent--> consensus
//	       <--bytes---   |  <--NetSend, NetSendFree, NetFree--
//	                     |
//	            ports.Network: Receive, Send, Close
//
// In:     bytes of any origin, split anywhere; replies to send; slots that come back.
// Out:    NetMessage with a message that has passed every check of the wire protocol, 1.1, at the start of its slot; NetSent exactly
//
//	once for each NetSend. Messages of one connection keep their order.
//
// Owns:   the free client slots; one slot of each connection, from its first Receive until NetworkClosed; a reply slot's lease from
//
//	NetSend until NetSent; the routes from client ids to connections.
//
// Limits: ConnectionsMax connections. Of each, one slot, one Receive, one Send, one reply and 4 short messages (pongs, evictions)
//
//	behind it: more short ones are dropped, and a newer reply closes the connection, since its client does not read.
//	Without a free slot a connection is not read; those who wait are served in turn, one slot each.
//	Client slots are as large as the largest message, and more than connections (else all could wait for each other).
//
// Budgets: net to consensus, BudgetToConsensus; consensus to net, BudgetToNet.
// Faults: what breaks the framing closes its connection, what breaks a rule of its command is skipped; both are counted, and reported
//
//	once for each connection, at most LogsPerSecondMax in a second. No input makes net panic or grow.
//
// A full request is received straight into the slot that becomes its prepare: the port is given the whole free rest of the slot,
// and nothing is copied if the client waits for its reply before it sends more. Bytes behind a complete message are copied: to
// the connection's next slot if they are fewer than the message, else the message goes into a slot of its own; so no byte is
// copied more than three times, whatever a client sends. Short messages to clients are copied out of their slot at once: a client
// that does not read pins no client slot.
//
// Routes follow the advice of the wire protocol, 1.4: the latest connection that brought a message of a client is its route, also if
// the message was then skipped. A connection serves one client; a second one closes it. A ping takes the client over: the connection
// that was the route, or was confirmed by a ping before, closes.
//
// Source: wire protocol, 1, 2 and 9; design, sections 2 and 3.
package net
