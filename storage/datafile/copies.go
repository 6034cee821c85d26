package datafile

import (
	"fmt"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/wire"
)

// Copy is one copy of the superblock, as a reader finds it that repairs nothing.
type Copy struct {
	Superblock
	Version  uint32        // of the format
	Checksum wire.Checksum // the same for all copies of one superblock
	// Damage says why the copy is not what was written there, "" if it is. Of a damaged copy
	// nothing else counts.
	Damage string
}

// ReadSuperblock reads the four copies, and chooses the superblock in force as OpenSuperblock does.
// It writes nothing. scratch is aligned memory of at least SuperblockContentBytes.
//
// chosen: the index of a copy that holds the superblock in force. With an error there is none that
// this release can use.
func ReadSuperblock(file ports.File, l *limits.Limits, scratch []byte) (copies [copiesCount]Copy, chosen int, err error) {
	layout := NewLayout(l)
	states := readCopies(file, &layout, scratch[:SuperblockContentBytes])
	for i := range states {
		c := &states[i]
		copies[i] = Copy{Superblock: c.content, Version: c.version, Checksum: c.checksum, Damage: c.damage(uint32(i))}
	}
	chosen, err = inForce(states[:], l)
	return copies, chosen, err
}

// damage says why the copy is not the one with copyIndex, "" if it is.
func (c *copyState) damage(copyIndex uint32) string {
	switch {
	case c.unreadable != nil:
		return c.unreadable.Error()
	case c.valid && c.copyIndex != copyIndex:
		return fmt.Sprintf("it is copy %d in the place of copy %d", c.copyIndex, copyIndex)
	case c.valid:
		return ""
	case c.hasMagic:
		return "its checksum does not match"
	}
	return "it is no superblock"
}
