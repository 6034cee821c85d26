// Package net turns bytes of sockets into whole, verified messages of clients and of other
// replicas, and replies and messages to other replicas into bytes.
//
//	clients --bytes--> [net] --NetMessage, NetSent--> consensus
//	       <--bytes---   |  <--NetSend, NetSendFree, NetFree, NetSessionEnded--
//	                     |
//	replicas --bytes-->   |  --NetPeerMessage, NetPeerSent, NetPeerLive, NetPeerLost-->
//	        <--bytes---   |  <--NetPeerSend, NetPeerNoted, NetFree--
//	                     |
//	            ports.Network: Connect, Receive, Send, SendParts, Close; ports.Names: Resolve
//
// In:     bytes of any origin, split anywhere; replies to send; slots that come back.
// Out:    NetMessage with a message that has passed every check of the wire protocol, 1.1, at the
// start of its slot; NetSent exactly once for each NetSend. Messages of one connection keep their
// order.
// Owns:   the free client slots; one slot of each connection, from its first Receive until
// NetworkClosed; a reply slot's lease from NetSend until NetSent; the routes from client ids to
// connections.
// Limits: ConnectionsMax connections. Each has one slot, one Receive, one Send, one reply and 4
// short messages (pongs, evictions) behind it. Further short messages are dropped. A newer reply
// closes the connection, because its client does not read. Without a free slot, a connection is not
// read; waiting connections are served in turn, one slot each. A client slot is as large as the
// largest message. There are more client slots than connections, because otherwise all could wait
// for each other.
// Budgets: net to consensus, BudgetToConsensus; consensus to net, BudgetToNet.
// Faults: a message that breaks the framing closes its connection. A message that breaks a rule of
// its command is skipped. Both are counted, and reported once for each connection, at most
// LogsPerSecondMax times in a second. No input makes net panic or grow.
//
// Zero-copy receive: a request is received into the slot that becomes its prepare, because the port
// gets the whole free rest of the slot. If the client waits for its reply before it sends more,
// nothing is copied. Bytes behind a complete message are the exception. If they are fewer than the
// message, they are copied to the connection's next slot. Otherwise the message is copied to a slot
// of its own. So no byte is copied more than three times.
//
// Short messages to clients are copied out of their slot at once. So a client that does not read
// occupies no client slot.
//
// Routes follow the wire protocol, 1.4. A client's route is the connection that brought its latest
// message, even if that message was skipped. A connection serves one client; a message of a second
// client closes it. A ping moves the client to its connection. Then the previous route, and a
// connection that an earlier ping has confirmed, are closed.
//
// A connection begins as a stranger's. Its first whole message makes it a client's; a second state
// machine, for other replicas, has a kind of its own. In a cluster, strangers have some places that
// clients cannot take, and accept leaves some places of the port to Connect. So neither strangers
// nor clients keep a replica out.
//
// Other replicas (peers.go) are a state machine of package peer, the Hub: whom to connect to and
// when, handshakes, tags, queues. A stranger whose first 16 bytes are those of a replica is handed
// to it. Net keeps the slots for their messages, a share for each replica, so that one of them that
// floods does not take those of the others. A message that finds no slot is dropped. The inner
// header of a message to peers is copied to their queues; its body is sent from its slot. What
// consensus knows of a connection (NetPeerLive, NetPeerLost) is told anew only when it has noted
// the word before.
//
// The times of the Hub (pauses before it connects again, the time of a handshake, silence) come
// from nowNs of the step, and NextTurnNs has the next one. Consensus has no part in connecting.
//
// A full table closes the connection that has been longest without a registered client. A
// connection counts as its client's if it is the route and the client has a session, or a request
// at consensus. Consensus says with each answer whether the client has a session, and tells of a
// session that made room for another one.
//
// Source: wire protocol, 1, 2 and 9; design, sections 2 and 3.
package net
