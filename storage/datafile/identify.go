package datafile

import (
	"fmt"

	"ledger/limits"
	"ledger/wire"
)

// Content is what a file holds, as far as its first bytes tell.
type Content uint8

const (
	ContentUnknown   Content = iota // neither of the two
	ContentOurs                     // a superblock of ours, of any format version
	ContentReference                // a data file of the reference, TigerBeetle
)

// Identity of a file.
type Identity struct {
	Content  Content
	Cluster  wire.U128
	Replica  uint8
	Replicas uint8  // of the cluster; of a file of our format version
	Version  uint32 // of a file of ours; 0 if every copy of its superblock is damaged
}

// The reference's log begins, behind the superblock, with a ring of 1024 headers of 256 bytes.
// Format fills all of them, and each begins with its checksum. Source: storage, 2.1; consensus,
// 8.2; wire, 2.1 and 3.2.
const (
	referenceHeadersAt      = 98304
	referenceHeadersBytes   = 256 << 10
	referenceCommandPrepare = wire.Command(6)
)

// reader is of a ports.File what Identify needs.
type reader interface {
	ReadAt(buffer []byte, offsetBytes uint64) error
}

// Identify reads what a file holds and writes nothing. A file of ours begins with copies of the
// superblock that have our magic number, in every format version. The reference's superblock has no
// such number; its log's headers prove themselves by their checksums, of which one that is right is
// no accident. scratch is at least SuperblockContentBytes of aligned memory.
func Identify(file reader, l *limits.Limits, scratch []byte) Identity {
	layout := NewLayout(l)
	buffer := scratch[:SuperblockContentBytes]
	var damaged, found Identity
	for i := range l.SuperblockCopies {
		if file.ReadAt(buffer, layout.SuperblockCopyAt(i)) != nil {
			continue
		}
		switch c := decodeCopy(buffer); {
		case c.valid && (found.Content == ContentUnknown || c.version != limits.FormatVersion):
			found = Identity{Content: ContentOurs, Cluster: c.content.Cluster, Replica: c.content.Replica,
				Replicas: c.content.ReplicasCount, Version: c.version}
		case c.hasMagic:
			damaged = Identity{Content: ContentOurs}
		}
	}
	if found.Content != ContentUnknown {
		return found
	}
	if damaged.Content != ContentUnknown {
		return damaged
	}
	for at := uint64(referenceHeadersAt); at < referenceHeadersAt+referenceHeadersBytes; at += uint64(len(buffer)) {
		if file.ReadAt(buffer, at) != nil {
			continue
		}
		for first := 0; first < len(buffer); first += wire.HeaderBytes {
			h := wire.HeaderOf(buffer[first:])
			if h.Command() == referenceCommandPrepare && h.SizeBytes() >= wire.HeaderBytes && h.SizeBytes() <= wire.MessageBytesMax &&
				h.Checksum() == wire.ChecksumOf(h.Bytes()[16:]) {
				return Identity{Content: ContentReference, Cluster: h.Cluster()}
			}
		}
	}
	return Identity{}
}

// Foreign returns why a server of this version cannot serve the file, and the way out, or nil if
// the file has our format version or is unknown. Of a file of another version or of the reference
// nothing else can be judged, not even the size.
func (id *Identity) Foreign() error {
	switch {
	case id.Content == ContentReference:
		return fmt.Errorf("it is a data file of TigerBeetle (cluster %s), which this server does not read: serve it with TigerBeetle, "+
			"or format a new file under another name and copy the accounts and transfers into it through a client, with the flag imported",
			id.Cluster)
	case id.Content == ContentOurs && id.Version != 0 && id.Version != limits.FormatVersion:
		return versionError(id.Version)
	}
	return nil
}

func versionError(version uint32) error {
	age := "newer"
	if version < limits.FormatVersion {
		age = "older"
	}
	return fmt.Errorf("the data file has format version %d, this server reads version %d: use the %s server that "+
		"formatted it, or format a new file under another name",
		version, limits.FormatVersion, age)
}
