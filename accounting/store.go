package accounting

// Store is the state that the accounting rules read and write. One thread calls it, in log order.
//
// Values are copied in and out, so the caller holds no pointer that could go stale. The exception
// is TransferRow, whose row is filled in place.
//
// A call may suspend the caller's coroutine until a page has been read. The rules do not notice: a
// call always returns with its answer.
//
// ChainRollback undoes every call since ChainOpen. It also restores ordinals, newest timestamps and
// the order of rows.
type Store interface {
	// AccountFind fills account with the current state of the account with this id. Ids 0 and
	// 2^128-1 are never found.
	AccountFind(id U128, account *Account) (AccountOrdinal, bool)
	// AccountRead fills account with the current state of an existing account.
	AccountRead(ordinal AccountOrdinal, account *Account)
	// AccountWrite stores the balances and flags of an existing account. The caller must leave the
	// other fields as they were read. The row of the TransferAppend or ExpiredAppend that follows
	// holds the same balances and flags, so a store may persist either of the two.
	AccountWrite(ordinal AccountOrdinal, account *Account)
	// AccountAppend stores a new account; its timestamp is above AccountStampMax.
	AccountAppend(account *Account) AccountOrdinal

	// TransferFind returns the state of a transfer id. Ids 0 and 2^128-1 are always absent.
	TransferFind(id U128) (TransferOrdinal, TransferState)
	// TransferRead fills transfer with a stored transfer and returns its accounts.
	TransferRead(ordinal TransferOrdinal, transfer *Transfer) (debit, credit AccountOrdinal)
	// TransferRow returns the row of the next new transfer. Its contents are undefined; the caller
	// sets every field. TransferAppend then stores the row. Its timestamp is above
	// TransferStampMax. A pending transfer gets PendingOpen. Between the two calls, only
	// AccountWrite may be called.
	TransferRow() *TransferRow
	TransferAppend() TransferOrdinal
	// TransferKill marks an absent id as used by a failed transfer. It is never called inside a
	// chain.
	TransferKill(id U128)

	// PendingRead returns the status of a stored transfer. It is PendingNone for a transfer that is
	// not a pending one.
	PendingRead(ordinal TransferOrdinal) PendingStatus
	// PendingWrite changes the status of a pending transfer.
	PendingWrite(ordinal TransferOrdinal, status PendingStatus)

	// ExpiryAdd adds the expiry of a pending transfer to the expiry index; ExpiryRemove removes it.
	ExpiryAdd(expiresAtNs uint64, ordinal TransferOrdinal)
	ExpiryRemove(expiresAtNs uint64, ordinal TransferOrdinal)
	// ExpiryFirst returns the smallest entry of the expiry index by (expiresAtNs, ordinal).
	ExpiryFirst() (expiresAtNs uint64, ordinal TransferOrdinal, ok bool)
	// ExpiredAppend stores the row of an expiry. Its timestamp is above that of every earlier
	// expiry.
	ExpiredAppend(row *ExpiredRow)

	// AccountStampMax and TransferStampMax return the newest timestamp of their kind, 0 when there
	// is none.
	AccountStampMax() uint64
	TransferStampMax() uint64
	// AccountStampExists and TransferStampExists tell whether an object of their kind has this very
	// timestamp.
	AccountStampExists(timestamp uint64) bool
	TransferStampExists(timestamp uint64) bool

	// ChainOpen starts a chain. ChainCommit keeps the changes since ChainOpen; ChainRollback undoes
	// them. Chains do not nest.
	ChainOpen()
	ChainCommit()
	ChainRollback()

	// TransfersOpen starts a scan. TransfersNext fills row with the next match in order, and
	// returns false after the last. A scan sees the state as of its opening. The next write ends
	// it. At most one scan is open at a time.
	TransfersOpen(scan *TransferScan)
	TransfersNext(row *TransferRow) bool
	// AccountsOpen and AccountsNext do the same for accounts, in their current state.
	AccountsOpen(scan *AccountScan)
	AccountsNext(account *Account) bool
	// EventsOpen and EventsNext deliver transfers and expiries with timestampMin <= Timestamp <=
	// timestampMax, ascending. If a transfer and an expiry have the same timestamp, only the
	// transfer is delivered (accounting, 7.5).
	EventsOpen(timestampMin, timestampMax uint64)
	EventsNext(row *EventRow) bool

	// Breathe is a yield point: the rules call it every few hundred events or rows, so that a store
	// can end a step that has lasted long.
	Breathe()
}

// TransferScan is the filter of a query for transfers. A zero field does not restrict the result,
// as on the wire. The exception is the timestamp bounds: they are inclusive and already resolved,
// so 0 does not mean "no bound".
type TransferScan struct {
	ByAccount    bool // then Account on the sides Debits and Credits
	Account      AccountOrdinal
	Debits       bool
	Credits      bool
	UserData128  U128
	UserData64   uint64
	UserData32   uint32
	Ledger       uint32
	Code         uint16
	Reversed     bool
	TimestampMin uint64
	TimestampMax uint64
	LimitRows    uint32 // the caller asks for at most so many rows
}

// AccountScan is the filter of a query for accounts, with the rules of TransferScan.
type AccountScan struct {
	UserData128  U128
	UserData64   uint64
	UserData32   uint32
	Ledger       uint32
	Code         uint16
	Reversed     bool
	TimestampMin uint64
	TimestampMax uint64
	LimitRows    uint32
}

// Warmer is the prefetch interface. It takes the keys that a request will need, so that their pages
// can be read before the request executes. It returns nothing, and may ignore any key.
type Warmer interface {
	WarmAccount(id U128)
	WarmTransfer(id U128)
	// WarmPending prefetches the transfer with this id, its status, and its accounts.
	WarmPending(id U128)
}
