// Package frames replays recorded frames of the client protocol, byte by byte, against a live
// server.
//
//	recording --substitute--> socket --> server --> socket --> compare with the recording
//
// In:     recordings (pairs of files <scenario>.c2s.jsonl and .s2c.jsonl in ../testdata/wire), a
// server's address.
// Out:    a list of differences, each with the scenario and the frame's place in it.
// Owns:   its connections.
// Limits: replyWithin for a reply, silenceFor to believe that none comes.
// Faults: a difference does not end a scenario; a missing reply or a closed connection does.
// Source: specification, "Replaying the recordings", with its list of places where a server may
// differ.
//
// It shares no code with the server, and needs no cgo: what the two of them agree on, they agree on
// by the bytes.
package frames
