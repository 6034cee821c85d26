package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ericlagergren/aegis"
)

const (
	headerBytes     = 256
	messageBytesMax = 1 << 20
)

type command byte

const (
	pingClient command = 3
	pongClient command = 4
	request    command = 5
	reply      command = 8
	eviction   command = 18
)

func (c command) String() string {
	switch c {
	case pingClient:
		return "ping_client"
	case pongClient:
		return "pong_client"
	case request:
		return "request"
	case reply:
		return "reply"
	case eviction:
		return "eviction"
	}
	return fmt.Sprintf("command %d", byte(c))
}

// field is where a number lies in a header.
type field struct {
	offset, bytes int
	name          string
}

// Fields of headers. A name stands for one command's field where the layouts differ.
var (
	checksumField        = field{0, 16, "checksum"}
	checksumBodyField    = field{32, 16, "checksum_body"}
	clusterField         = field{80, 16, "cluster"}
	sizeField            = field{96, 4, "size"}
	viewField            = field{104, 4, "view"}
	releaseField         = field{108, 4, "release"}
	commandField         = field{114, 1, "command"}
	replicaField         = field{115, 1, "replica"}
	requestParent        = field{128, 16, "parent"}
	requestClient        = field{160, 16, "client"}
	requestSession       = field{176, 8, "session"}
	requestOperation     = field{196, 1, "operation"}
	pingClientID         = field{128, 16, "client"}
	pingSession          = field{152, 8, "session"}
	replyRequestChecksum = field{128, 16, "request_checksum"}
	replyContext         = field{160, 16, "context"}
	replyClient          = field{192, 16, "client"}
	replyOp              = field{208, 8, "op"}
	replyCommit          = field{216, 8, "commit"}
	replyTimestamp       = field{224, 8, "timestamp"}
	replyRequest         = field{232, 4, "request"}
	replyOperation       = field{236, 1, "operation"}
	evictionReason       = field{255, 1, "reason"}
)

// frame is a whole message: a header and its body.
type frame []byte

func (f frame) get(at field) []byte { return f[at.offset : at.offset+at.bytes] }

func (f frame) number(at field) uint64 {
	var wide [8]byte
	copy(wide[:], f.get(at)) // 8 bytes at most: numbers of 16 are compared as bytes
	return binary.LittleEndian.Uint64(wide[:])
}

func (f frame) setNumber(at field, value uint64) {
	var wide [8]byte
	binary.LittleEndian.PutUint64(wide[:], value)
	copy(f.get(at), wide[:at.bytes])
}

func (f frame) command() command { return command(f.number(commandField)) }
func (f frame) body() []byte     { return f[headerBytes:] }
func (f frame) client() string {
	switch f.command() {
	case request:
		return string(f.get(requestClient))
	case pingClient:
		return string(f.get(pingClientID))
	case reply:
		return string(f.get(replyClient))
	}
	return ""
}

var (
	zeroKey   [16]byte
	zeroNonce [16]byte
)

// checksum is the protocol's: the tag of AEGIS-128L over data as associated data.
func checksum(data []byte) [16]byte {
	cipher, err := aegis.New(zeroKey[:])
	if err != nil {
		panic(err) // the key has the right size
	}
	return [16]byte(cipher.Seal(nil, zeroNonce[:], nil, data))
}

func (f frame) headerChecksum() [16]byte { return checksum(f[16:headerBytes]) }
func (f frame) bodyChecksum() [16]byte   { return checksum(f.body()) }

func (f frame) headerIntact() bool { return [16]byte(f.get(checksumField)) == f.headerChecksum() }
func (f frame) bodyIntact() bool   { return [16]byte(f.get(checksumBodyField)) == f.bodyChecksum() }

// seal computes the header's checksum anew.
func (f frame) seal() {
	sum := f.headerChecksum()
	copy(f.get(checksumField), sum[:])
}

// contextOf is what a reply's context must be: its own header checksum computed with that field
// zero.
func contextOf(reply frame) []byte {
	header := frame(bytes.Clone(reply[:headerBytes]))
	clear(header.get(replyContext))
	sum := header.headerChecksum()
	return sum[:]
}
