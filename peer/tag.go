package peer

import (
	"crypto/subtle"
	"slices"

	"github.com/zeebo/blake3"

	"ledger/internal/assert"
)

// KeyBytes is the size of a key that the replicas of a cluster share.
const KeyBytes = 32

// NonceBytes is the size of a Nonce.
const NonceBytes = 16

// Nonce is a random number that its author has never used before. It makes each connection another
// one.
type Nonce [NonceBytes]byte

// IsZero tells whether there is no nonce.
func (n Nonce) IsZero() bool { return n == Nonce{} }

// keysMax keys are valid at the same time, while an operator replaces one by another.
const keysMax = 2

// tagLabel begins everything that is tagged, so that no tag of another protocol fits.
const tagLabel = "ledger peer"

// Offsets in what is hashed. The label is followed by zeros and the domain.
const (
	tagDomainAt = 15
	tagDataAt   = 16
	tagDataMax  = 2*NonceBytes + HeadBytes - TagBytes
)

// Domains of tags: the kind of a handshake's frame, or the direction of a message.
const (
	domainFromConnector uint8 = 16 + iota // behind the kinds of frames
	domainFromAcceptor
	domainPrint // no message has it
)

// Keys makes and checks tags. Without a key, a tag finds damaged and misdirected bytes, but not
// forged ones; then the network has to be trusted. Keys belong to one thread, because they hold the
// memory of the hash function.
type Keys struct {
	hashers [keysMax]*blake3.Hasher
	prints  [keysMax]uint64
	count   int
	input   [tagDataAt + tagDataMax]byte
	output  [32]byte
}

// NewKeys takes up to two keys. The first one is for what this replica begins. The second one is
// accepted as well: during a rotation, replicas have {old, new}, then {new, old}, then {new}.
func NewKeys(keys ...[KeyBytes]byte) *Keys {
	assert.AtMost(len(keys), keysMax, "keys of a cluster")
	k := &Keys{count: len(keys)}
	for i := range keys {
		hasher, err := blake3.NewKeyed(keys[i][:])
		assert.That(err == nil, "BLAKE3 takes a key of 32 bytes")
		k.hashers[i] = hasher
	}
	copy(k.input[:], tagLabel)
	for i := range keys {
		k.prints[i] = little64(k.tag(i, domainPrint, 0))
	}
	return k
}

// Keyed tells whether there is a key.
func (k *Keys) Keyed() bool { return k.count > 0 }

// KeyPrint is a number by which two people can compare keys. It is in the open in each handshake,
// and tells nothing else of a key that was drawn at random: it is a tag of a domain of its own.
func KeyPrint(key [KeyBytes]byte) uint64 { return NewKeys(key).prints[0] }

// holds tells whether one of the keys has this print.
func (k *Keys) holds(print uint64) bool {
	return k.Keyed() && slices.Contains(k.prints[:k.count], print)
}

// tag returns the tag over domain and the first bytes of k.input, under one of the keys. It is
// valid until the next call.
func (k *Keys) tag(key int, domain uint8, dataBytes int) []byte {
	k.input[tagDomainAt] = domain
	input := k.input[:tagDataAt+dataBytes]
	if k.count == 0 {
		k.output = blake3.Sum256(input)
		return k.output[:TagBytes]
	}
	h := k.hashers[key]
	h.Reset()
	_, err := h.Write(input)
	assert.That(err == nil, "hashing has no errors")
	return h.Sum(k.output[:0])[:TagBytes]
}

// sealFrame writes the tag of a handshake's frame under one of the keys.
func (k *Keys) sealFrame(key int, kind FrameKind, frame []byte) {
	copy(k.input[tagDataAt:], frame[:frameTagAt])
	copy(frame[frameTagAt:], k.tag(key, uint8(kind), frameTagAt))
}

// openFrame returns which key a frame's tag is right under. ok is false if there is none.
func (k *Keys) openFrame(kind FrameKind, frame []byte) (key int, ok bool) {
	copy(k.input[tagDataAt:], frame[:frameTagAt])
	for key = range max(k.count, 1) {
		if subtle.ConstantTimeCompare(k.tag(key, uint8(kind), frameTagAt), frame[frameTagAt:frameTagAt+TagBytes]) == 1 {
			return key, true
		}
	}
	return 0, false
}

// Side of a connection.
type Side uint8

// The replica of the higher index connects.
const (
	SideConnector Side = iota
	SideAcceptor
)

func (s Side) other() Side { return 1 - s }

// Link makes the messages of one connection a sequence that nobody else can continue, repeat, order
// anew or turn round. Both ends make it from the same handshake. It begins with sequence 1.
type Link struct {
	keys     *Keys
	key      int
	side     Side
	nonces   [2]Nonce // of connector and acceptor
	sent     uint64   // sequence of the last message, per direction
	received uint64

	// The other end: author and incarnation of all its messages.
	Peer        uint8
	Incarnation uint64
}

// tagOf returns the tag of head for a direction.
func (l *Link) tagOf(from Side, head []byte) []byte {
	at := tagDataAt
	at += copy(l.keys.input[at:], l.nonces[SideConnector][:])
	at += copy(l.keys.input[at:], l.nonces[SideAcceptor][:])
	at += copy(l.keys.input[at:], head[TagBytes:HeadBytes])
	return l.keys.tag(l.key, domainFromConnector+uint8(from), at-tagDataAt)
}

// Seal gives head the next sequence number and its tag. Messages are sent in the order in which
// they are sealed. The envelope and the inner header are there, but for these two fields.
func (l *Link) Seal(head []byte) {
	l.sent++
	putLittle64(head[TagBytes:], l.sent)
	copy(head, l.tagOf(l.side, head))
}

// Open checks tag, sequence, envelope and author of a received head, in this order. After a fault
// the connection must end: later bytes on it cannot be trusted.
func (l *Link) Open(head []byte, e *Envelope, b *Bounds) Fault {
	if subtle.ConstantTimeCompare(l.tagOf(l.side.other(), head), head[:TagBytes]) != 1 {
		return faultLong(CommandNone, faultTag, head[:8], "it must be that of direction, nonces, sequence, envelope and inner header")
	}
	if sequence := little64(head[TagBytes:]); sequence != l.received+1 {
		return fault(CommandNone, faultSequence, sequence, "it must follow that of the message before it, which was", l.received)
	}
	if f := e.Decode(head, b); f.Faulty() {
		return f
	}
	switch {
	case e.Author != l.Peer:
		return fault(e.Command, "author", uint64(e.Author), "it must be the replica of the handshake", uint64(l.Peer))
	case e.Incarnation != l.Incarnation:
		return fault(e.Command, "incarnation", e.Incarnation, "it must be that of the handshake", l.Incarnation)
	}
	l.received++
	return Fault{}
}

// Fields of faults that say that bytes are not the peer's, or not in its order. A message with
// another fault is authentic, and malformed.
const (
	faultTag      = "tag"
	faultSequence = "sequence"
	faultBody     = "body's checksum" // the envelope is authentic, and the body is another one
)

// Authentic tells whether a peer that holds the key has made the faulty message.
func (f *Fault) Authentic() bool {
	return f.Field != faultTag && f.Field != faultSequence && f.Field != faultBody
}
