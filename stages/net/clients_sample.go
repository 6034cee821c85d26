package net

import "ledger/wire"

// ClientSample is one connection that belongs to a client.
type ClientSample struct {
	Client wire.U128
	Peer   [18]byte // IPv6 or v4-mapped address and port, as in ports.NetworkEvent
}

// SampleClients copies the open connections that have named a client into out, as many as fit, and
// returns their number. To be called on the stage's thread, between two turns.
func (s *Stage) SampleClients(out []ClientSample) (count int) {
	for i := range s.connections {
		c := &s.connections[i]
		if c.state == connectionOpen && !c.client.IsZero() && count < len(out) {
			out[count] = ClientSample{Client: c.client, Peer: c.peer}
			count++
		}
	}
	return count
}
