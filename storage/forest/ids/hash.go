package ids

import (
	"ledger/accounting"
	"ledger/internal/hashing"
)

// Hash spreads an id over 64 bits. A table uses the low bits as the position and the high bits as
// the tag.
//
// Clients choose ids freely, so both halves of the id are multiplied by secrets of this process. No
// set of ids that a client chooses can make long runs of slots.
//
// Clients also count upwards, and consecutive ids should share a cache line. The last three bits
// are therefore left out of the keyed hash and select one of eight neighbouring slots. An attacker
// gains little from that: at most eight ids share such a group.
func Hash(key *hashing.Key, id accounting.U128) uint64 {
	// The low half of member changes the position by less than 8. Its high half changes all bits of
	// the tag.
	const group, member = 7, 0x9e3779b900000001
	return key.Hash(id.Lo>>3, id.Hi) ^ id.Lo&group*member
}
