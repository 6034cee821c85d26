// Package wire is the client protocol as pure code: bytes in, verdicts, views and bytes out.
//
//	first 256 bytes --Parser.ParseHeader--> body --VerifyBody--> Parser.CheckMessage -->
//	CheckRequest --> consensus
//
//	apply --BatchEncoder, PutRegisterReplyBody--> body --BuildReply--> session
//	(ResealReply on a resend) --> net
//
// It has two sides. SideServer receives messages of clients, SideClient messages of servers. The
// pure-Go client, the simulator and the tests use the second. Replicas have a protocol of their
// own, which is not here.
//
// In:     bytes of any origin and alignment. Header is a view: nothing is copied, nothing is kept.
// Out:    a Verdict (ok, drop the connection, ignore silently), an EvictionReason, or a sealed
// message. A Fault is the reason.
// Owns:   nothing. Every function works in its caller's memory. None allocates, except String
// methods and the parsing of text.
// Limits: RequestLimits, made from the largest request of a server (limits.RequestBytesMax).
// Faults: no input makes a decoder panic. Encoders assert that their caller's numbers fit.
// Source: specification, "Client wire protocol", sections 1 to 8; "Accounting", sections 2.1, 11
// and 12.
package wire
