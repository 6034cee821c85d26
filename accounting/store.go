package accounting

// Store is what the rules ask of the state. It is called by one thread, in log order.
//
// Values are copied in and out, so no pointer into a cache can go stale (but a new row is written where it stays). A call may suspend the caller until a page
// has been read (the apply stage runs the rules on a coroutine); for the rules it always returns with the answer. A call
// after ChainOpen is undone by ChainRollback, without a trace: ordinals, maxima and order of rows included.
type Store interface {
	// AccountFind fills account with the current state of the account with this id. Ids 0 and 2^128-1 are never found.
	AccountFind(id U128, account *Account) (AccountOrdinal, bool)
	// AccountRead fills account with the current state of an existing account.
	AccountRead(ordinal AccountOrdinal, account *Account)
	// AccountWrite stores the balances and flags of an existing account; the other fields are as read. The row that follows, of
	// TransferAppend or ExpiredAppend, tells the same: a store may keep either.
	AccountWrite(ordinal AccountOrdinal, account *Account)
	// AccountAppend stores a new account; its timestamp is above AccountStampMax.
	AccountAppend(account *Account) AccountOrdinal

	// TransferFind tells what a transfer id stands for. Ids 0 and 2^128-1 are always absent.
	TransferFind(id U128) (TransferOrdinal, TransferState)
	// TransferRead fills transfer with a stored transfer and returns its accounts.
	TransferRead(ordinal TransferOrdinal, transfer *Transfer) (debit, credit AccountOrdinal)
	// TransferRow returns the place of the next new transfer, to be filled as a whole: it may hold anything. TransferAppend stores what
	// was filled in; its timestamp is above TransferStampMax. A pending one gets PendingOpen. No other call may come
	// between the two but those of AccountWrite.
	TransferRow() *TransferRow
	TransferAppend() TransferOrdinal
	// TransferKill burns an id that is absent. It is never called inside a chain.
	TransferKill(id U128)

	// PendingRead returns the status of a stored transfer: PendingNone if it is not a pending one.
	PendingRead(ordinal TransferOrdinal) PendingStatus
	// PendingWrite changes the status of a pending transfer.
	PendingWrite(ordinal TransferOrdinal, status PendingStatus)

	// ExpiryAdd notes that a pending transfer expires at expiresAtNs; ExpiryRemove takes that note back.
	ExpiryAdd(expiresAtNs uint64, ordinal TransferOrdinal)
	ExpiryRemove(expiresAtNs uint64, ordinal TransferOrdinal)
	// ExpiryFirst returns the smallest note by (expiresAtNs, ordinal).
	ExpiryFirst() (expiresAtNs uint64, ordinal TransferOrdinal, ok bool)
	// ExpiredAppend stores an expiry; its timestamp is above that of every earlier one.
	ExpiredAppend(row *ExpiredRow)

	// AccountStampMax and TransferStampMax return the newest timestamp of their kind, 0 when there is none.
	AccountStampMax() uint64
	TransferStampMax() uint64
	// AccountStampExists and TransferStampExists tell whether an object of their kind has this very timestamp.
	AccountStampExists(timestamp uint64) bool
	TransferStampExists(timestamp uint64) bool

	// ChainOpen starts a chain: ChainCommit keeps what follows, ChainRollback undoes it. Chains do not nest.
	ChainOpen()
	ChainCommit()
	ChainRollback()

	// TransfersOpen starts a scan; TransfersNext fills row with the next match in order and returns false after the last.
	// A scan sees the state as of its opening and ends with the next write; one scan is open at a time.
	TransfersOpen(scan *TransferScan)
	TransfersNext(row *TransferRow) bool
	// AccountsOpen and AccountsNext do the same for accounts, in their current state.
	AccountsOpen(scan *AccountScan)
	AccountsNext(account *Account) bool
	// EventsOpen and EventsNext deliver transfers and expiries with timestampMin <= Timestamp <= timestampMax, ascending. Where a
	// transfer and an expiry have the same timestamp, the transfer hides the expiry (accounting, 7.5).
	EventsOpen(timestampMin, timestampMax uint64)
	EventsNext(row *EventRow) bool

	// Breathe is called every few hundred events or rows: the caller's step has lasted long enough.
	Breathe()
}

// TransferScan says which transfers a query wants. Zero fields do not restrict, as on the wire; the bounds are
// inclusive and already resolved (never 0 for "none").
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
	LimitRows    uint32 // no more than this many rows will be asked for
}

// AccountScan says which accounts a query wants, as TransferScan does.
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

// Warmer takes the keys that a request will need, so that they can be read before it executes. It never answers and
// may ignore all of them.
type Warmer interface {
	WarmAccount(id U128)
	WarmTransfer(id U128)
	// WarmPending: the transfer with this id, its status, and its accounts.
	WarmPending(id U128)
}
