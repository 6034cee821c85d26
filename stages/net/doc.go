// Package net turns bytes of sockets into whole, verified client messages, and replies into bytes.
//
//	clients --bytes--> [net] --NetMessage, NetSent--> consensus
//	       <--bytes---   |  <--NetSend, NetSendFree, NetFree--
//	                     |
//	            ports.Network: Receive, Send, Close
//
// In:     bytes of any origin, split anywhere; replies to send; slots that come back.
// Out:    NetMessage with a message that has passed every check of the wire protocol, 1.1, at the
// start of its slot; NetSent exactly once for each NetSend. Messages of one connection keep their
// order.
// Owns:   the free client slots; one slot of each connection, from its first Receive until
// NetworkClosed; a reply slot's lease from NetSend until NetSent; the routes from client ids to
// connections.
// Limits: ConnectionsMax connections. Of each, one slot, one Receive, one Send, one reply and 4
// short messages (pongs, evictions) behind it: more short ones are dropped, and a newer reply
// closes the connection, since its client does not read. Without a free slot a connection is not
// read; those who wait are served in turn, one slot each. Client slots are as large as the largest
// message, and more than connections (else all could wait for each other).
// Budgets: net to consensus, BudgetToConsensus; consensus to net, BudgetToNet.
// Faults: what breaks the framing closes its connection, what breaks a rule of its command is
// skipped; both are counted, and reported once for each connection, at most LogsPerSecondMax in a
// second. No input makes net panic or grow.
//
// Zero-copy receive: a request is received into the slot that becomes its prepare, because the port
// gets the whole free rest of the slot. If the client waits for its reply before it sends more,
// nothing is copied. Bytes behind a complete message are the exception. If they are fewer than the
// message, they are copied to the connection's next slot; else the message is copied to a slot of
// its own. So no byte is copied more than three times, whatever a client sends.
//
// Short messages to clients are copied out of their slot at once. So a client that does not read
// occupies no client slot.
//
// Routes follow the wire protocol, 1.4: a client's route is the connection that brought its latest
// message, even if that message was skipped. A connection serves one client; a message of a second
// client closes it. A ping moves the client to its connection. The connection that was the route
// before, or that an earlier ping confirmed, is closed.
//
// Source: wire protocol, 1, 2 and 9; design, sections 2 and 3.
package net
