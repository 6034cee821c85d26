// Package peer is the protocol between replicas as pure code: bytes and events in, verdicts and
// bytes out.
//
//	port: connected, received, sent, closed --> [Hub] --> receive, send, close
//	names: resolved ------------------------->  |  |  --> resolve, connect
//	consensus: Send with a lease ------------>  |  |  --> messages in slots, leases that come back
//	                                            |  |
//	        Table: whom to call, whom to let in |  | one line for each identified connection:
//	        Handshake: of each new connection   |  | Receiver, Queue, and Link, which makes tags
//
// The life of a connection:
//
//	connector (the higher index)                 acceptor
//	    |  resolve, connect                          |
//	    |--- hello ------------------ 256 bytes ---->|  Table: compares all fields
//	    |<-- answer ----------------- 256 bytes -----|
//	    |--- confirm ---------------- 256 bytes ---->|  identified on both sides
//	    |<== messages: 320 bytes and a body ========>|  Link: tag and sequence of each
//
// A message is an envelope of 64 bytes, an inner header of 256 bytes and a body:
//
//	| tag 16 | sequence 8 | incarnation 8 | body checksum 16 | body bytes 4 | view 4 |
//	| command 1 | author 1 | zeros 6 |
//
// The inner header of a prepare is that of package prepare, and that of a forwarded request the
// client's. Inner header and body lie in a slot as the log wants them. The messages:
//
//	code  name                class   body
//	   1  ping                urgent
//	   2  pong                urgent
//	   3  commit              urgent  the primary's heartbeat
//	   4  commit_echo         urgent
//	   5  prepare             normal  that of the prepare
//	   6  prepare_ok          urgent
//	   7  request             normal  that of the client's request
//	   8  start_view_change   urgent
//	   9  do_view_change      normal  headers by falling op, without gaps
//	  10  start_view          normal  checkpoint, headers by falling op
//	  11  request_start_view  urgent
//	  12  request_headers     urgent
//	  13  headers             repair  headers by falling op
//	  14  request_prepare     urgent
//	  15  repair_prepare      repair  that of the prepare
//	  16  prepare_missing     urgent
//	  17  request_blocks      urgent
//	  18  block               repair  the used pages
//	  19  block_missing       urgent
//
// docs/design/peer.md has all fields with their offsets.
//
// In:     bytes of any origin; times; addresses; slots and leases.
// Out:    actions of the Hub; for all that is wrong, a Fault or a Refusal with field and value.
// Owns:   a slot from Slots.Take until HubMessage or HubSlotBack. A lease from Send until
// HubReturned, exactly once.
// Limits: Bounds, made from limits.Limits. GreetingsMax strangers, 256 bytes and an entry each, 5
// seconds; a pipeline and 2 messages to a peer that drains, 4 to one that does not, 32 urgent ones.
// Faults: no input makes it panic or grow. A connection ends with the first fault: what follows on
// it cannot be trusted. What finds no slot or no room is dropped and counted, because the protocol
// tolerates loss.
// Source: consensus, 3 to 15; docs/design/peer.md.
package peer
