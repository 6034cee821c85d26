package events

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"strconv"

	"ledger/wire"
)

// Peer is an IPv6 or v4-mapped address and a port, as in ports.NetworkEvent.
type Peer [18]byte

// String returns address and port as text.
func (p Peer) String() string {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[:16])).Unmap(), binary.BigEndian.Uint16(p[16:])).String()
}

// Fields appends the members of a JSON object.
type Fields struct{ bytes []byte }

func (f Fields) key(key string) []byte {
	if f.bytes[len(f.bytes)-1] != '{' {
		f.bytes = append(f.bytes, ',')
	}
	f.bytes = append(f.bytes, '"')
	f.bytes = append(f.bytes, key...)
	return append(f.bytes, '"', ':')
}

// String adds a text.
func (f Fields) String(key, value string) Fields {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte(`""`) // Marshal fails for no string
	}
	return Fields{append(f.key(key), text...)}
}

// Number adds a count, a size or an op.
func (f Fields) Number(key string, value uint64) Fields {
	return Fields{strconv.AppendUint(f.key(key), value, 10)}
}

// Bool adds true or false.
func (f Fields) Bool(key string, value bool) Fields {
	return Fields{strconv.AppendBool(f.key(key), value)}
}

// ID adds a 128-bit number as decimal text, because numbers of JSON are not exact beyond 2^53.
func (f Fields) ID(key string, value wire.U128) Fields { return f.String(key, value.String()) }

// Peer adds an address and a port.
func (f Fields) Peer(key string, value Peer) Fields { return f.String(key, value.String()) }
