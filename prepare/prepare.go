// Package prepare is the format of the log's entries: a 256-byte header of our own, which
// overwrites the request's, and the body.
//
// A prepare has one or more client requests. A single request keeps its body as it arrived, and its
// fields are in the header. Two or more requests are a group. Their bodies begin at multiples of
// 16, and a table of 96-byte entries follows at the end of the body, in order of arrival.
//
//	single: | header 256 | body of the request                                   |
//	group:  | header 256 | body 0 | pad | body 1 | pad | ... | entry 0 | entry 1 |
//
// Everything is little-endian. Apart from the state, execution depends only on fields of the
// prepare (RequestLimit, Rules, View, Replica). So a replica that was started with other flags
// gives the same replies.
//
// Limits: body up to limits.BodyBytesMax, 8190 events, 65535 requests.
// Faults: a view of damaged bytes never panics. Validate returns what is wrong.
// Source: design, section 10, "Prepare header".
package prepare

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/wire"
)

// HeaderBytes of a prepare; EntryBytes of one request of a group.
const (
	HeaderBytes = 256
	EntryBytes  = 96
	// Format of this package.
	Format = 1
	// BodyAlignBytes: bodies of a group start at multiples of it.
	BodyAlignBytes = 16
)

// OperationRoot is the operation of op 0. No client may send it.
const OperationRoot wire.Operation = 1

// Sum returns the checksum of data. It does not allocate.
func Sum(data []byte) wire.Checksum {
	full := blake3.Sum256(data)
	return wire.Checksum(full[:16])
}

// Command of a header.
type Command uint8

const (
	// CommandPrepare: an entry.
	CommandPrepare Command = 1
	// CommandReserved: a log slot that holds no entry; Op is the slot's index.
	CommandReserved Command = 2
)

// Offsets in the header.
const (
	atChecksum        = 0
	atBodyChecksum    = 16
	atParent          = 32
	atCluster         = 48
	atCheckpointID    = 64
	atClient          = 80
	atRequestChecksum = 96
	atSession         = 112
	atOp              = 120
	atCommit          = 128
	atTimestamp       = 136
	atSize            = 144
	atView            = 148
	atRequest         = 152
	atRelease         = 156
	atRequestLimit    = 160
	atRules           = 164
	atRequestsCount   = 168
	atOperation       = 170
	atCommand         = 171
	atReplica         = 172
	atFormat          = 173
	atMembers         = 176
	atReserved        = 224
)

// Header views 256 bytes as the header of a prepare.
type Header []byte

// Fields of a header as one value. The request's own fields are those of the only request; in a
// group they are zero.
type Fields struct {
	Parent          wire.Checksum
	Cluster         wire.U128
	CheckpointID    wire.Checksum
	Client          wire.U128
	RequestChecksum wire.Checksum
	Session         uint64
	Op              uint64
	Commit          uint64
	Timestamp       uint64
	SizeBytes       uint32 // header and body
	View            uint32
	Request         uint32
	Release         wire.Release
	RequestLimit    uint32 // largest request, header included, that the preparing primary accepted
	Rules           uint32 // of the release that prepares it, and by which it is executed everywhere; 0: the first ones
	RequestsCount   uint16
	Operation       wire.Operation
	Command         Command
	Replica         uint8
	Members         Members // in force from this op on; all zeros: the log names none
}

func (h Header) Checksum() wire.Checksum { return wire.Checksum(h[atChecksum : atChecksum+16]) }
func (h Header) BodyChecksum() wire.Checksum {
	return wire.Checksum(h[atBodyChecksum : atBodyChecksum+16])
}
func (h Header) Parent() wire.Checksum { return wire.Checksum(h[atParent : atParent+16]) }
func (h Header) Cluster() wire.U128    { return u128(h[atCluster:]) }
func (h Header) CheckpointID() wire.Checksum {
	return wire.Checksum(h[atCheckpointID : atCheckpointID+16])
}
func (h Header) Client() wire.U128         { return u128(h[atClient:]) }
func (h Header) Op() uint64                { return binary.LittleEndian.Uint64(h[atOp:]) }
func (h Header) Commit() uint64            { return binary.LittleEndian.Uint64(h[atCommit:]) }
func (h Header) Timestamp() uint64         { return binary.LittleEndian.Uint64(h[atTimestamp:]) }
func (h Header) SizeBytes() uint32         { return binary.LittleEndian.Uint32(h[atSize:]) }
func (h Header) View() uint32              { return binary.LittleEndian.Uint32(h[atView:]) }
func (h Header) RequestLimit() uint32      { return binary.LittleEndian.Uint32(h[atRequestLimit:]) }
func (h Header) Rules() uint32             { return binary.LittleEndian.Uint32(h[atRules:]) }
func (h Header) RequestsCount() uint16     { return binary.LittleEndian.Uint16(h[atRequestsCount:]) }
func (h Header) Operation() wire.Operation { return wire.Operation(h[atOperation]) }
func (h Header) Command() Command          { return Command(h[atCommand]) }
func (h Header) Replica() uint8            { return h[atReplica] }
func (h Header) Format() uint8             { return h[atFormat] }

// Members are the data files of the replicas that count from this op on.
func (h Header) Members() Members { return ReadMembers(h[atMembers:]) }

// IsGroup tells whether the prepare carries a table of requests.
func (h Header) IsGroup() bool { return h.RequestsCount() >= 2 }

// Put writes all fields and both checksums over buffer, whose first 256 bytes become the header.
// bodyChecksum is Sum(body).
func Put(buffer []byte, f *Fields, bodyChecksum wire.Checksum) Header {
	h := Header(buffer[:HeaderBytes:HeaderBytes])
	clear(h)
	copy(h[atBodyChecksum:], bodyChecksum[:])
	copy(h[atParent:], f.Parent[:])
	putU128(h[atCluster:], f.Cluster)
	copy(h[atCheckpointID:], f.CheckpointID[:])
	putU128(h[atClient:], f.Client)
	copy(h[atRequestChecksum:], f.RequestChecksum[:])
	binary.LittleEndian.PutUint64(h[atSession:], f.Session)
	binary.LittleEndian.PutUint64(h[atOp:], f.Op)
	binary.LittleEndian.PutUint64(h[atCommit:], f.Commit)
	binary.LittleEndian.PutUint64(h[atTimestamp:], f.Timestamp)
	binary.LittleEndian.PutUint32(h[atSize:], f.SizeBytes)
	binary.LittleEndian.PutUint32(h[atView:], f.View)
	binary.LittleEndian.PutUint32(h[atRequest:], f.Request)
	binary.LittleEndian.PutUint32(h[atRelease:], uint32(f.Release))
	binary.LittleEndian.PutUint32(h[atRequestLimit:], f.RequestLimit)
	binary.LittleEndian.PutUint32(h[atRules:], max(f.Rules, limits.RulesFirst))
	binary.LittleEndian.PutUint16(h[atRequestsCount:], f.RequestsCount)
	h[atOperation] = byte(f.Operation)
	h[atCommand] = byte(f.Command)
	h[atReplica] = f.Replica
	h[atFormat] = Format
	f.Members.Put(h[atMembers:])
	sum := Sum(h[16:])
	copy(h[atChecksum:], sum[:])
	return h
}

// PutReserved writes the header of a log slot without an entry.
func PutReserved(buffer []byte, cluster wire.U128, slotIndex uint64) Header {
	return Put(buffer, &Fields{Cluster: cluster, Op: slotIndex, SizeBytes: HeaderBytes, Command: CommandReserved}, Sum(nil))
}

// PutRoot writes the prepare of op 0: the same bytes on every replica of a cluster.
func PutRoot(buffer []byte, cluster wire.U128) Header {
	return Put(buffer, &Fields{Cluster: cluster, SizeBytes: HeaderBytes, Operation: OperationRoot, RequestsCount: 1, Command: CommandPrepare},
		Sum(nil))
}

// ValidHeader tells whether 256 bytes are a header of this cluster: checksum, cluster, command,
// format, size and reserved bytes.
func ValidHeader(h Header, cluster wire.U128, sizeMax uint32) bool {
	if len(h) != HeaderBytes || h.Checksum() != Sum(h[16:]) || h.Cluster() != cluster || h.Format() != Format {
		return false
	}
	if h.Command() != CommandPrepare && h.Command() != CommandReserved {
		return false
	}
	if h[atFormat+1] != 0 || h[atFormat+2] != 0 {
		return false
	}
	for _, b := range h[atReserved:] {
		if b != 0 {
			return false
		}
	}
	return h.SizeBytes() >= HeaderBytes && h.SizeBytes() <= sizeMax
}

// ValidBody tells whether the prepare's body matches its header. prepare has SizeBytes bytes.
func ValidBody(prepare []byte) bool {
	h := Header(prepare[:HeaderBytes])
	return uint32(len(prepare)) == h.SizeBytes() && h.BodyChecksum() == Sum(prepare[HeaderBytes:])
}

// Request is one client request of a prepare. Body is a view.
type Request struct {
	Client          wire.U128
	RequestChecksum wire.Checksum
	Session         uint64
	Timestamp       uint64
	Request         uint32
	Release         wire.Release
	Operation       wire.Operation
	Body            []byte
}

// Validate checks the table of a prepare whose checksums are right. A replica must not crash on
// bytes from a broken peer.
func Validate(prepare []byte) error {
	h := Header(prepare[:HeaderBytes])
	count := uint64(h.RequestsCount())
	bodyBytes := uint64(len(prepare) - HeaderBytes)
	switch {
	case count == 0 && h.Command() == CommandPrepare:
		return fmt.Errorf("prepare of op %d carries no request", h.Op())
	case count < 2:
		return nil
	case count*EntryBytes > bodyBytes:
		return fmt.Errorf("prepare of op %d: %d requests do not fit its body", h.Op(), count)
	}
	tableAt := bodyBytes - count*EntryBytes
	for i := range count {
		entry := prepare[HeaderBytes+tableAt+i*EntryBytes:]
		offset := uint64(binary.LittleEndian.Uint32(entry[entryOffset:]))
		size := uint64(binary.LittleEndian.Uint32(entry[entrySize:]))
		if offset+size > tableAt || offset%BodyAlignBytes != 0 {
			return fmt.Errorf("prepare of op %d: request %d lies outside its body", h.Op(), i)
		}
	}
	return nil
}

// Offsets in a group's entry.
const (
	entryClient    = 0
	entryChecksum  = 16
	entrySession   = 32
	entryTimestamp = 40
	entryRequest   = 48
	entryRelease   = 52
	entryOffset    = 56
	entrySize      = 60
	entryOperation = 64
)

// RequestAt returns request index of a valid prepare.
func RequestAt(prepare []byte, index int) Request {
	h := Header(prepare[:HeaderBytes])
	count := int(h.RequestsCount())
	assert.Below(index, count, "request of a prepare")
	body := prepare[HeaderBytes:h.SizeBytes()]
	if count == 1 {
		return Request{
			Client:          u128(h[atClient:]),
			RequestChecksum: wire.Checksum(h[atRequestChecksum : atRequestChecksum+16]),
			Session:         binary.LittleEndian.Uint64(h[atSession:]),
			Timestamp:       h.Timestamp(),
			Request:         binary.LittleEndian.Uint32(h[atRequest:]),
			Release:         wire.Release(binary.LittleEndian.Uint32(h[atRelease:])),
			Operation:       h.Operation(),
			Body:            body,
		}
	}
	entry := body[len(body)-(count-index)*EntryBytes:]
	offset, size := binary.LittleEndian.Uint32(entry[entryOffset:]), binary.LittleEndian.Uint32(entry[entrySize:])
	return Request{
		Client:          u128(entry[entryClient:]),
		RequestChecksum: wire.Checksum(entry[entryChecksum : entryChecksum+16]),
		Session:         binary.LittleEndian.Uint64(entry[entrySession:]),
		Timestamp:       binary.LittleEndian.Uint64(entry[entryTimestamp:]),
		Request:         binary.LittleEndian.Uint32(entry[entryRequest:]),
		Release:         wire.Release(binary.LittleEndian.Uint32(entry[entryRelease:])),
		Operation:       wire.Operation(entry[entryOperation]),
		Body:            body[offset : offset+size : offset+size],
	}
}

// PutEntry writes one entry of a group's table. offsetBytes is the offset of the request's body
// from the start of the prepare's body.
func PutEntry(entry []byte, r *Request, offsetBytes uint32) {
	clear(entry[:EntryBytes])
	putU128(entry[entryClient:], r.Client)
	copy(entry[entryChecksum:], r.RequestChecksum[:])
	binary.LittleEndian.PutUint64(entry[entrySession:], r.Session)
	binary.LittleEndian.PutUint64(entry[entryTimestamp:], r.Timestamp)
	binary.LittleEndian.PutUint32(entry[entryRequest:], r.Request)
	binary.LittleEndian.PutUint32(entry[entryRelease:], uint32(r.Release))
	binary.LittleEndian.PutUint32(entry[entryOffset:], offsetBytes)
	binary.LittleEndian.PutUint32(entry[entrySize:], uint32(len(r.Body)))
	entry[entryOperation] = byte(r.Operation)
}

// AlignUp rounds a body's end up to where the next body of a group may start.
func AlignUp(bytes uint32) uint32 { return (bytes + BodyAlignBytes - 1) &^ (BodyAlignBytes - 1) }

func u128(b []byte) wire.U128 {
	return wire.U128{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
}

func putU128(b []byte, v wire.U128) {
	binary.LittleEndian.PutUint64(b, v.Lo)
	binary.LittleEndian.PutUint64(b[8:], v.Hi)
}
