package prepare

import (
	"encoding/binary"

	"ledger/limits"
)

// Members is the number of the data file of each replica that counts, by index: its incarnation. It
// is state of the cluster. Only an op of its own (wire.OperationMember) changes it, and the header
// of each prepare has the table that is in force from that prepare on. So who has a prepare has the
// table, and no table is apart from the log that it belongs to.
//
// The table names all replicas, or none. It names none in a log of before there were tables, in
// that of a single replica, and until all replicas of a new cluster have met. Then every file
// counts.
type Members [limits.ReplicasMax]uint64

// MembersBytes is the size of an encoded table.
const MembersBytes = 8 * limits.ReplicasMax

// Counts tells whether what the data file with this number says as a replica counts.
func (m *Members) Counts(replica int, incarnation uint64) bool {
	return m[replica] == 0 || m[replica] == incarnation
}

// AreNamed tells whether the table names data files.
func (m *Members) AreNamed() bool { return *m != Members{} }

// Put writes the table into b.
func (m *Members) Put(b []byte) {
	for i, incarnation := range m {
		binary.LittleEndian.PutUint64(b[8*i:], incarnation)
	}
}

// ReadMembers reads what Put has written.
func ReadMembers(b []byte) (m Members) {
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return m
}
