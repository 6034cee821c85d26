package cdc

import (
	"strconv"

	"ledger/accounting"
	"ledger/wire"
)

// AppendEvent appends an event in the form of the reference's messages: JSON without blanks, flags
// and small numbers as numbers. A number of 2^53 and above is a string, because programs that read
// JSON into floating point would round it.
func AppendEvent(out []byte, e *accounting.ChangeEvent) []byte {
	out = append(out, `{"timestamp":`...)
	out = appendNumber(out, e.Timestamp)
	out = append(out, `,"type":"`...)
	out = append(out, e.Type.String()...)
	out = append(out, `","ledger":`...)
	out = appendNumber(out, uint64(e.Ledger))

	out = append(out, `,"transfer":{"id":`...)
	out = appendU128(out, e.TransferID)
	out = append(out, `,"amount":`...)
	out = appendU128(out, e.TransferAmount)
	out = append(out, `,"pending_id":`...)
	out = appendU128(out, e.TransferPendingID)
	out = appendUserData(out, e.TransferUserData128, e.TransferUserData64, e.TransferUserData32)
	out = append(out, `,"timeout":`...)
	out = appendNumber(out, uint64(e.TransferTimeout))
	out = appendEnd(out, e.TransferCode, uint16(e.TransferFlags), e.TransferTimestamp)

	out = append(out, `,"debit_account":{"id":`...)
	out = appendU128(out, e.DebitAccountID)
	out = appendBalances(out, e.DebitAccountDebitsPending, e.DebitAccountDebitsPosted, e.DebitAccountCreditsPending,
		e.DebitAccountCreditsPosted)
	out = appendUserData(out, e.DebitAccountUserData128, e.DebitAccountUserData64, e.DebitAccountUserData32)
	out = appendEnd(out, e.DebitAccountCode, uint16(e.DebitAccountFlags), e.DebitAccountTimestamp)

	out = append(out, `,"credit_account":{"id":`...)
	out = appendU128(out, e.CreditAccountID)
	out = appendBalances(out, e.CreditAccountDebitsPending, e.CreditAccountDebitsPosted, e.CreditAccountCreditsPending,
		e.CreditAccountCreditsPosted)
	out = appendUserData(out, e.CreditAccountUserData128, e.CreditAccountUserData64, e.CreditAccountUserData32)
	out = appendEnd(out, e.CreditAccountCode, uint16(e.CreditAccountFlags), e.CreditAccountTimestamp)
	return append(out, '}')
}

func appendBalances(out []byte, debitsPending, debitsPosted, creditsPending, creditsPosted wire.U128) []byte {
	out = append(out, `,"debits_pending":`...)
	out = appendU128(out, debitsPending)
	out = append(out, `,"debits_posted":`...)
	out = appendU128(out, debitsPosted)
	out = append(out, `,"credits_pending":`...)
	out = appendU128(out, creditsPending)
	out = append(out, `,"credits_posted":`...)
	return appendU128(out, creditsPosted)
}

func appendUserData(out []byte, data128 wire.U128, data64 uint64, data32 uint32) []byte {
	out = append(out, `,"user_data_128":`...)
	out = appendU128(out, data128)
	out = append(out, `,"user_data_64":`...)
	out = appendNumber(out, data64)
	out = append(out, `,"user_data_32":`...)
	return appendNumber(out, uint64(data32))
}

func appendEnd(out []byte, code, flags uint16, timestamp uint64) []byte {
	out = append(out, `,"code":`...)
	out = appendNumber(out, uint64(code))
	out = append(out, `,"flags":`...)
	out = appendNumber(out, uint64(flags))
	out = append(out, `,"timestamp":`...)
	out = appendNumber(out, timestamp)
	return append(out, '}')
}

// portableMax is the first number that is a string.
const portableMax = 1 << 53

func appendNumber(out []byte, number uint64) []byte {
	if number < portableMax {
		return strconv.AppendUint(out, number, 10)
	}
	out = append(out, '"')
	out = strconv.AppendUint(out, number, 10)
	return append(out, '"')
}

func appendU128(out []byte, number wire.U128) []byte {
	if number.Hi == 0 {
		return appendNumber(out, number.Lo)
	}
	out = append(out, '"')
	out = append(out, number.String()...)
	return append(out, '"')
}
