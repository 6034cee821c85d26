package prepare

import (
	"encoding/binary"

	"ledger/wire"
)

// Upgrade is what an upgrade op says: the release to which the replicas pass, and the last upgrade
// op. It is in the header, in the place of a request's number and session. So each header tells
// which upgrade is under way, and none before it has to be known.
type Upgrade struct {
	Release   uint32
	TriggerOp uint64 // of the first checkpoint that only upgrade ops precede in its last bar
}

// Put makes the fields those of an upgrade op.
func (u *Upgrade) Put(f *Fields) {
	f.Operation, f.SizeBytes = wire.OperationUpgrade, HeaderBytes
	f.Request, f.Session = u.Release, u.TriggerOp
}

// UpgradeOf returns what an upgrade op says. ok: the header is that of one.
func UpgradeOf(h Header) (u Upgrade, ok bool) {
	if h.Operation() != wire.OperationUpgrade || h.Command() != CommandPrepare {
		return u, false
	}
	return Upgrade{
		Release:   binary.LittleEndian.Uint32(h[atRequest:]),
		TriggerOp: binary.LittleEndian.Uint64(h[atSession:]),
	}, true
}
