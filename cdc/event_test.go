package cdc

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/feed"
	"ledger/wire"
)

// Goal: an event has the fields, their order and the forms of numbers that the reference's messages
// have: 2^53 and above is a string.
func TestAppendEvent(t *testing.T) {
	u128 := wire.U128From
	event := accounting.ChangeEvent{
		TransferID: u128(1<<53 - 1), TransferAmount: u128(1 << 53), TransferPendingID: u128(7), TransferUserData128: wire.U128Max(),
		TransferUserData64: 1<<64 - 1, TransferUserData32: 1<<32 - 1, TransferTimeout: 60, TransferCode: 5,
		TransferFlags: accounting.TransferPending, Ledger: 700, Type: accounting.EventTwoPhasePending,
		DebitAccountID: u128(1), DebitAccountDebitsPending: u128(10), DebitAccountDebitsPosted: u128(11), DebitAccountCreditsPending: u128(12),
		DebitAccountCreditsPosted: u128(13), DebitAccountUserData128: u128(14), DebitAccountUserData64: 15, DebitAccountUserData32: 16,
		DebitAccountCode: 17, DebitAccountFlags: accounting.AccountHistory, DebitAccountTimestamp: 1795962526585356259,
		CreditAccountID: u128(2), CreditAccountDebitsPending: u128(20), CreditAccountDebitsPosted: u128(21),
		CreditAccountCreditsPending: u128(22), CreditAccountCreditsPosted: u128(23),
		CreditAccountUserData128: u128(24), CreditAccountUserData64: 25, CreditAccountUserData32: 26,
		CreditAccountCode: 27, CreditAccountTimestamp: 3,
		Timestamp: 1795962526585356261, TransferTimestamp: 1795962526585356260,
	}
	want := strings.Join(strings.Fields(`
		{"timestamp":"1795962526585356261","type":"two_phase_pending","ledger":700,
		"transfer":{"id":9007199254740991,"amount":"9007199254740992","pending_id":7,"user_data_128":"340282366920938463463374607431768211455",
		"user_data_64":"18446744073709551615","user_data_32":4294967295,"timeout":60,"code":5,"flags":2,"timestamp":"1795962526585356260"},
		"debit_account":{"id":1,"debits_pending":10,"debits_posted":11,"credits_pending":12,"credits_posted":13,"user_data_128":14,
		"user_data_64":15,"user_data_32":16,"code":17,"flags":8,"timestamp":"1795962526585356259"},
		"credit_account":{"id":2,"debits_pending":20,"debits_posted":21,"credits_pending":22,"credits_posted":23,"user_data_128":24,
		"user_data_64":25,"user_data_32":26,"code":27,"flags":0,"timestamp":3}}`), "")
	if got := string(AppendEvent(nil, &event)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// Goal: the longest event is a line that the search for the last line finds.
func TestLongestEvent(t *testing.T) {
	var event accounting.ChangeEvent
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&event)), unsafe.Sizeof(event))
	for i := range bytes {
		bytes[i] = 0xff
	}
	line := AppendEvent(nil, &event)
	if !json.Valid(line) || len(line)+1 > feed.LineBytesMax {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}
