package move

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"

	"ledger/accounting"
	"ledger/wire"
)

// Change is something that an import cannot move as it was, or a difference that it has found.
type Change struct {
	Kind      ChangeKind `json:"kind"`
	ID        string     `json:"id"`                   // of the transfer, or of the account
	Timestamp uint64     `json:"timestamp,omitempty"`  // of the transfer or of the expiry
	Timeout   uint32     `json:"timeout,omitempty"`    // that the transfer had
	ExpiresAt uint64     `json:"expires_at,omitempty"` // when it would have expired
	VoidID    string     `json:"void_id,omitempty"`    // of the transfer that stands for the expiry
	Field     string     `json:"field,omitempty"`      // that differs
	Want      string     `json:"want,omitempty"`
	Got       string     `json:"got,omitempty"`
}

// ChangeKind says what a change is about.
type ChangeKind string

// Kinds of changes.
const (
	ChangeTimeout    ChangeKind = "timeout_left_out"  // an imported transfer has none
	ChangeExpiry     ChangeKind = "expiry_is_a_void"  // at the same timestamp
	ChangeOpen       ChangeKind = "expires_no_more"   // it is pending and had a timeout
	ChangeDifference ChangeKind = "balance_differs"   // from the source
	ChangeMissing    ChangeKind = "account_missing"   // in the server
	ChangeExtra      ChangeKind = "account_not_moved" // the server has it, the source does not
)

// Kinds are all kinds of changes, in the order of a report.
func Kinds() []ChangeKind {
	return []ChangeKind{ChangeTimeout, ChangeExpiry, ChangeOpen, ChangeExtra, ChangeMissing, ChangeDifference}
}

// changer turns what a source has into what can be imported, and tells what it had to change.
type changer struct {
	tell     func(Change)
	open     map[wire.U128]expiryRow // pending transfers with a timeout: when they would expire
	isLinked bool                    // the chain goes on behind the last transfer
}

func newChanger(tell func(Change)) *changer {
	return &changer{tell: tell, open: map[wire.U128]expiryRow{}}
}

// nsPerSecond turns a timeout into nanoseconds.
const nsPerSecond = 1_000_000_000

// account is an account as it was created.
func (c *changer) account(row *accountRow) accounting.Account {
	account := zeroed(row.Account)
	account.Flags |= accounting.AccountImported
	if row.ClosedByTransfer != 0 {
		account.Flags &^= accounting.AccountClosed
	}
	return account
}

// transfer changes a transfer as the rules of imports ask for.
func (c *changer) transfer(t *accounting.Transfer) {
	if t.Timeout != 0 && t.Flags&accounting.TransferPending != 0 {
		expiresAt := t.Timestamp + uint64(t.Timeout)*nsPerSecond
		c.open[t.ID] = expiryRow{t.ID, expiresAt}
		c.tell(Change{Kind: ChangeTimeout, ID: t.ID.String(), Timestamp: t.Timestamp, Timeout: t.Timeout, ExpiresAt: expiresAt})
		t.Timeout = 0
	}
	if t.Flags&(accounting.TransferPostPending|accounting.TransferVoidPending) != 0 {
		delete(c.open, t.PendingID)
	}
	t.Flags |= accounting.TransferImported
	c.isLinked = t.Flags&accounting.TransferLinked != 0
}

// expiry is the void that stands for an expiry. It has the expiry's timestamp, which belongs to no
// other transfer, so balances are the same before and after. Its id follows from the pending one's,
// so a repeated import makes the same. Inside of a chain it is a member of it.
func (c *changer) expiry(x *expiryRow) accounting.Transfer {
	delete(c.open, x.PendingID)
	t := accounting.Transfer{ID: voidID(x.PendingID), PendingID: x.PendingID, Timestamp: x.Timestamp,
		Flags: accounting.TransferVoidPending | accounting.TransferImported}
	if c.isLinked {
		t.Flags |= accounting.TransferLinked
	}
	c.tell(Change{Kind: ChangeExpiry, ID: x.PendingID.String(), Timestamp: x.Timestamp, VoidID: t.ID.String()})
	return t
}

// voidID is the id of the void for an expired transfer: 128 bits of a hash, never 0 or 2^128-1.
func voidID(pending wire.U128) wire.U128 {
	var bytes [wire.U128Bytes]byte
	pending.PutBytes(bytes[:])
	hash := sha256.Sum256(append([]byte("ledger import: the expiry of "), bytes[:]...))
	id := wire.U128FromBytes(hash[:])
	id.Lo |= 1
	id.Hi &^= 1 << 63
	return id
}

// end tells of the transfers that are pending for good now.
func (c *changer) end() {
	rows := slices.SortedFunc(maps.Values(c.open), func(a, b expiryRow) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), a.PendingID.Compare(b.PendingID))
	})
	for _, x := range rows {
		c.tell(Change{Kind: ChangeOpen, ID: x.PendingID.String(), ExpiresAt: x.Timestamp})
	}
}
