package server

import (
	"encoding/binary"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/conformance/internal/proto"
)

func toUint128(u proto.U128) tb.Uint128 {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], u.Lo)
	binary.LittleEndian.PutUint64(raw[8:], u.Hi)
	return tb.BytesToUint128(raw)
}

func fromUint128(u tb.Uint128) proto.U128 {
	lo, hi := u.Uint64()
	return proto.U128{Lo: lo, Hi: hi}
}

func toAccount(a proto.Account) tb.Account {
	return tb.Account{
		ID:             toUint128(a.ID),
		DebitsPending:  toUint128(a.DebitsPending),
		DebitsPosted:   toUint128(a.DebitsPosted),
		CreditsPending: toUint128(a.CreditsPending),
		CreditsPosted:  toUint128(a.CreditsPosted),
		UserData128:    toUint128(a.UserData128),
		UserData64:     a.UserData64,
		UserData32:     a.UserData32,
		Reserved:       a.Reserved,
		Ledger:         a.Ledger,
		Code:           a.Code,
		Flags:          a.Flags,
		Timestamp:      a.Timestamp.Value,
	}
}

func fromAccount(a tb.Account) proto.Account {
	return proto.Account{
		ID:             fromUint128(a.ID),
		DebitsPending:  fromUint128(a.DebitsPending),
		DebitsPosted:   fromUint128(a.DebitsPosted),
		CreditsPending: fromUint128(a.CreditsPending),
		CreditsPosted:  fromUint128(a.CreditsPosted),
		UserData128:    fromUint128(a.UserData128),
		UserData64:     a.UserData64,
		UserData32:     a.UserData32,
		Reserved:       a.Reserved,
		Ledger:         a.Ledger,
		Code:           a.Code,
		Flags:          a.Flags,
		Timestamp:      proto.Plain(a.Timestamp),
	}
}

func toTransfer(t proto.Transfer) tb.Transfer {
	return tb.Transfer{
		ID:              toUint128(t.ID),
		DebitAccountID:  toUint128(t.DebitAccountID),
		CreditAccountID: toUint128(t.CreditAccountID),
		Amount:          toUint128(t.Amount),
		PendingID:       toUint128(t.PendingID),
		UserData128:     toUint128(t.UserData128),
		UserData64:      t.UserData64,
		UserData32:      t.UserData32,
		Timeout:         t.Timeout,
		Ledger:          t.Ledger,
		Code:            t.Code,
		Flags:           t.Flags,
		Timestamp:       t.Timestamp.Value,
	}
}

func fromTransfer(t tb.Transfer) proto.Transfer {
	return proto.Transfer{
		ID:              fromUint128(t.ID),
		DebitAccountID:  fromUint128(t.DebitAccountID),
		CreditAccountID: fromUint128(t.CreditAccountID),
		Amount:          fromUint128(t.Amount),
		PendingID:       fromUint128(t.PendingID),
		UserData128:     fromUint128(t.UserData128),
		UserData64:      t.UserData64,
		UserData32:      t.UserData32,
		Timeout:         t.Timeout,
		Ledger:          t.Ledger,
		Code:            t.Code,
		Flags:           t.Flags,
		Timestamp:       proto.Plain(t.Timestamp),
	}
}

func toAccountFilter(f *proto.AccountFilter) tb.AccountFilter {
	return tb.AccountFilter{
		AccountID:    toUint128(f.AccountID),
		UserData128:  toUint128(f.UserData128),
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Code:         f.Code,
		Reserved:     f.Reserved,
		TimestampMin: f.TimestampMin.Value,
		TimestampMax: f.TimestampMax.Value,
		Limit:        f.Limit,
		Flags:        f.Flags,
	}
}

func toQueryFilter(f *proto.QueryFilter) tb.QueryFilter {
	return tb.QueryFilter{
		UserData128:  toUint128(f.UserData128),
		UserData64:   f.UserData64,
		UserData32:   f.UserData32,
		Ledger:       f.Ledger,
		Code:         f.Code,
		Reserved:     f.Reserved,
		TimestampMin: f.TimestampMin.Value,
		TimestampMax: f.TimestampMax.Value,
		Limit:        f.Limit,
		Flags:        f.Flags,
	}
}

func toChangesFilter(f *proto.ChangesFilter) tb.ChangeEventsFilter {
	return tb.ChangeEventsFilter{
		TimestampMin: f.TimestampMin.Value,
		TimestampMax: f.TimestampMax.Value,
		Limit:        f.Limit,
		Reserved:     f.Reserved,
	}
}

func fromAccountResult(r tb.CreateAccountResult) proto.Result {
	return proto.Result{Status: uint32(r.Status), Timestamp: proto.Plain(r.Timestamp), Reserved: r.Reserved}
}

func fromTransferResult(r tb.CreateTransferResult) proto.Result {
	return proto.Result{Status: uint32(r.Status), Timestamp: proto.Plain(r.Timestamp), Reserved: r.Reserved}
}

func fromBalance(b tb.AccountBalance) proto.Balance {
	return proto.Balance{
		DebitsPending:  fromUint128(b.DebitsPending),
		DebitsPosted:   fromUint128(b.DebitsPosted),
		CreditsPending: fromUint128(b.CreditsPending),
		CreditsPosted:  fromUint128(b.CreditsPosted),
		Timestamp:      proto.Plain(b.Timestamp),
		Reserved:       b.Reserved,
	}
}

func fromChange(c tb.ChangeEvent) proto.Change {
	return proto.Change{
		TransferID:          fromUint128(c.TransferID),
		TransferAmount:      fromUint128(c.TransferAmount),
		TransferPendingID:   fromUint128(c.TransferPendingID),
		TransferUserData128: fromUint128(c.TransferUserData128),
		TransferUserData64:  c.TransferUserData64,
		TransferUserData32:  c.TransferUserData32,
		TransferTimeout:     c.TransferTimeout,
		TransferCode:        c.TransferCode,
		TransferFlags:       c.TransferFlags,
		Ledger:              c.Ledger,
		Type:                uint8(c.Type),
		Reserved:            c.Reserved,
		Timestamp:           proto.Plain(c.Timestamp),
		TransferTimestamp:   proto.Plain(c.TransferTimestamp),
		Debit: proto.ChangeAccount{
			ID:             fromUint128(c.DebitAccountID),
			DebitsPending:  fromUint128(c.DebitAccountDebitsPending),
			DebitsPosted:   fromUint128(c.DebitAccountDebitsPosted),
			CreditsPending: fromUint128(c.DebitAccountCreditsPending),
			CreditsPosted:  fromUint128(c.DebitAccountCreditsPosted),
			UserData128:    fromUint128(c.DebitAccountUserData128),
			UserData64:     c.DebitAccountUserData64,
			UserData32:     c.DebitAccountUserData32,
			Code:           c.DebitAccountCode,
			Flags:          c.DebitAccountFlags,
			Timestamp:      proto.Plain(c.DebitAccountTimestamp),
		},
		Credit: proto.ChangeAccount{
			ID:             fromUint128(c.CreditAccountID),
			DebitsPending:  fromUint128(c.CreditAccountDebitsPending),
			DebitsPosted:   fromUint128(c.CreditAccountDebitsPosted),
			CreditsPending: fromUint128(c.CreditAccountCreditsPending),
			CreditsPosted:  fromUint128(c.CreditAccountCreditsPosted),
			UserData128:    fromUint128(c.CreditAccountUserData128),
			UserData64:     c.CreditAccountUserData64,
			UserData32:     c.CreditAccountUserData32,
			Code:           c.CreditAccountCode,
			Flags:          c.CreditAccountFlags,
			Timestamp:      proto.Plain(c.CreditAccountTimestamp),
		},
	}
}
