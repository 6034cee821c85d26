package wire

import "encoding/binary"

// MemberBodyBytes is the size of the body of a member request.
const MemberBodyBytes = 16

// Member is the body of a member request: the data file that takes the place of replica Replica.
//
//	| incarnation 8 | replica 1 | replicas of the cluster 1 | 0 6 |
type Member struct {
	Incarnation   uint64 // of the new file
	Replica       uint8
	ReplicasCount uint8
}

// PutMember writes the body.
func PutMember(body []byte, m *Member) {
	clear(body[:MemberBodyBytes])
	binary.LittleEndian.PutUint64(body, m.Incarnation)
	body[8], body[9] = m.Replica, m.ReplicasCount
}

// MemberOf reads a body that was checked.
func MemberOf(body []byte) Member {
	return Member{Incarnation: binary.LittleEndian.Uint64(body), Replica: body[8], ReplicasCount: body[9]}
}

// checkMember returns what is wrong with the body of a member request, or nothing.
func checkMember(body []byte) Fault {
	switch {
	case len(body) != MemberBodyBytes:
		return "body of a member is not 16 bytes"
	case !isZero(body[10:]):
		return "padding of a member is not 0"
	}
	if m := MemberOf(body); m.Incarnation == 0 || m.ReplicasCount < 3 || m.ReplicasCount > ReplicasMax || m.Replica >= m.ReplicasCount {
		return "a member is none of a cluster of 3 to 6 replicas"
	}
	return ""
}
