package accounting

import "fmt"

// AccountStatus is the result of a create_accounts event. The numbers are those of the wire. They
// do not express precedence. Source: accounting, 15; wire protocol, 7.9.
type AccountStatus uint32

// TransferStatus is the result of a create_transfers event; 18 is retired and never sent.
// Source: accounting, 15; wire protocol, 7.10.
type TransferStatus uint32

const (
	AccountStatusLinkedEventFailed                    AccountStatus = 1
	AccountStatusLinkedEventChainOpen                 AccountStatus = 2
	AccountStatusTimestampMustBeZero                  AccountStatus = 3
	AccountStatusReservedField                        AccountStatus = 4
	AccountStatusReservedFlag                         AccountStatus = 5
	AccountStatusIDMustNotBeZero                      AccountStatus = 6
	AccountStatusIDMustNotBeIntMax                    AccountStatus = 7
	AccountStatusFlagsAreMutuallyExclusive            AccountStatus = 8
	AccountStatusDebitsPendingMustBeZero              AccountStatus = 9
	AccountStatusDebitsPostedMustBeZero               AccountStatus = 10
	AccountStatusCreditsPendingMustBeZero             AccountStatus = 11
	AccountStatusCreditsPostedMustBeZero              AccountStatus = 12
	AccountStatusLedgerMustNotBeZero                  AccountStatus = 13
	AccountStatusCodeMustNotBeZero                    AccountStatus = 14
	AccountStatusExistsWithDifferentFlags             AccountStatus = 15
	AccountStatusExistsWithDifferentUserData128       AccountStatus = 16
	AccountStatusExistsWithDifferentUserData64        AccountStatus = 17
	AccountStatusExistsWithDifferentUserData32        AccountStatus = 18
	AccountStatusExistsWithDifferentLedger            AccountStatus = 19
	AccountStatusExistsWithDifferentCode              AccountStatus = 20
	AccountStatusExists                               AccountStatus = 21
	AccountStatusImportedEventExpected                AccountStatus = 22
	AccountStatusImportedEventNotExpected             AccountStatus = 23
	AccountStatusImportedEventTimestampOutOfRange     AccountStatus = 24
	AccountStatusImportedEventTimestampMustNotAdvance AccountStatus = 25
	AccountStatusImportedEventTimestampMustNotRegress AccountStatus = 26
	AccountStatusCreated                              AccountStatus = 4294967295
)

const (
	TransferStatusLinkedEventFailed                               TransferStatus = 1
	TransferStatusLinkedEventChainOpen                            TransferStatus = 2
	TransferStatusTimestampMustBeZero                             TransferStatus = 3
	TransferStatusReservedFlag                                    TransferStatus = 4
	TransferStatusIDMustNotBeZero                                 TransferStatus = 5
	TransferStatusIDMustNotBeIntMax                               TransferStatus = 6
	TransferStatusFlagsAreMutuallyExclusive                       TransferStatus = 7
	TransferStatusDebitAccountIDMustNotBeZero                     TransferStatus = 8
	TransferStatusDebitAccountIDMustNotBeIntMax                   TransferStatus = 9
	TransferStatusCreditAccountIDMustNotBeZero                    TransferStatus = 10
	TransferStatusCreditAccountIDMustNotBeIntMax                  TransferStatus = 11
	TransferStatusAccountsMustBeDifferent                         TransferStatus = 12
	TransferStatusPendingIDMustBeZero                             TransferStatus = 13
	TransferStatusPendingIDMustNotBeZero                          TransferStatus = 14
	TransferStatusPendingIDMustNotBeIntMax                        TransferStatus = 15
	TransferStatusPendingIDMustBeDifferent                        TransferStatus = 16
	TransferStatusTimeoutReservedForPendingTransfer               TransferStatus = 17
	TransferStatusLedgerMustNotBeZero                             TransferStatus = 19
	TransferStatusCodeMustNotBeZero                               TransferStatus = 20
	TransferStatusDebitAccountNotFound                            TransferStatus = 21
	TransferStatusCreditAccountNotFound                           TransferStatus = 22
	TransferStatusAccountsMustHaveTheSameLedger                   TransferStatus = 23
	TransferStatusTransferMustHaveTheSameLedgerAsAccounts         TransferStatus = 24
	TransferStatusPendingTransferNotFound                         TransferStatus = 25
	TransferStatusPendingTransferNotPending                       TransferStatus = 26
	TransferStatusPendingTransferHasDifferentDebitAccountID       TransferStatus = 27
	TransferStatusPendingTransferHasDifferentCreditAccountID      TransferStatus = 28
	TransferStatusPendingTransferHasDifferentLedger               TransferStatus = 29
	TransferStatusPendingTransferHasDifferentCode                 TransferStatus = 30
	TransferStatusExceedsPendingTransferAmount                    TransferStatus = 31
	TransferStatusPendingTransferHasDifferentAmount               TransferStatus = 32
	TransferStatusPendingTransferAlreadyPosted                    TransferStatus = 33
	TransferStatusPendingTransferAlreadyVoided                    TransferStatus = 34
	TransferStatusPendingTransferExpired                          TransferStatus = 35
	TransferStatusExistsWithDifferentFlags                        TransferStatus = 36
	TransferStatusExistsWithDifferentDebitAccountID               TransferStatus = 37
	TransferStatusExistsWithDifferentCreditAccountID              TransferStatus = 38
	TransferStatusExistsWithDifferentAmount                       TransferStatus = 39
	TransferStatusExistsWithDifferentPendingID                    TransferStatus = 40
	TransferStatusExistsWithDifferentUserData128                  TransferStatus = 41
	TransferStatusExistsWithDifferentUserData64                   TransferStatus = 42
	TransferStatusExistsWithDifferentUserData32                   TransferStatus = 43
	TransferStatusExistsWithDifferentTimeout                      TransferStatus = 44
	TransferStatusExistsWithDifferentCode                         TransferStatus = 45
	TransferStatusExists                                          TransferStatus = 46
	TransferStatusOverflowsDebitsPending                          TransferStatus = 47
	TransferStatusOverflowsCreditsPending                         TransferStatus = 48
	TransferStatusOverflowsDebitsPosted                           TransferStatus = 49
	TransferStatusOverflowsCreditsPosted                          TransferStatus = 50
	TransferStatusOverflowsDebits                                 TransferStatus = 51
	TransferStatusOverflowsCredits                                TransferStatus = 52
	TransferStatusOverflowsTimeout                                TransferStatus = 53
	TransferStatusExceedsCredits                                  TransferStatus = 54
	TransferStatusExceedsDebits                                   TransferStatus = 55
	TransferStatusImportedEventExpected                           TransferStatus = 56
	TransferStatusImportedEventNotExpected                        TransferStatus = 57
	TransferStatusImportedEventTimestampOutOfRange                TransferStatus = 58
	TransferStatusImportedEventTimestampMustNotAdvance            TransferStatus = 59
	TransferStatusImportedEventTimestampMustNotRegress            TransferStatus = 60
	TransferStatusImportedEventTimestampMustPostdateDebitAccount  TransferStatus = 61
	TransferStatusImportedEventTimestampMustPostdateCreditAccount TransferStatus = 62
	TransferStatusImportedEventTimeoutMustBeZero                  TransferStatus = 63
	TransferStatusClosingTransferMustBePending                    TransferStatus = 64
	TransferStatusDebitAccountAlreadyClosed                       TransferStatus = 65
	TransferStatusCreditAccountAlreadyClosed                      TransferStatus = 66
	TransferStatusExistsWithDifferentLedger                       TransferStatus = 67
	TransferStatusIDAlreadyFailed                                 TransferStatus = 68
	TransferStatusCreated                                         TransferStatus = 4294967295
)

// String returns the name of the specification, such as "exists_with_different_flags".
func (s AccountStatus) String() string {
	if s == AccountStatusCreated {
		return "created"
	}
	if int(s) < len(accountStatusNames) && accountStatusNames[s] != "" {
		return accountStatusNames[s]
	}
	return fmt.Sprintf("account_status_%d", uint32(s))
}

// String returns the name of the specification, such as "exceeds_credits".
func (s TransferStatus) String() string {
	if s == TransferStatusCreated {
		return "created"
	}
	if int(s) < len(transferStatusNames) && transferStatusNames[s] != "" {
		return transferStatusNames[s]
	}
	return fmt.Sprintf("transfer_status_%d", uint32(s))
}

// transient tells whether a status uses up the id of the transfer that got it (accounting, 6.2).
func (s TransferStatus) transient() bool {
	switch s {
	case TransferStatusDebitAccountNotFound, TransferStatusCreditAccountNotFound, TransferStatusPendingTransferNotFound,
		TransferStatusExceedsCredits, TransferStatusExceedsDebits,
		TransferStatusDebitAccountAlreadyClosed, TransferStatusCreditAccountAlreadyClosed:
		return true
	}
	return false
}

var accountStatusNames = [...]string{
	AccountStatusLinkedEventFailed:                    "linked_event_failed",
	AccountStatusLinkedEventChainOpen:                 "linked_event_chain_open",
	AccountStatusTimestampMustBeZero:                  "timestamp_must_be_zero",
	AccountStatusReservedField:                        "reserved_field",
	AccountStatusReservedFlag:                         "reserved_flag",
	AccountStatusIDMustNotBeZero:                      "id_must_not_be_zero",
	AccountStatusIDMustNotBeIntMax:                    "id_must_not_be_int_max",
	AccountStatusFlagsAreMutuallyExclusive:            "flags_are_mutually_exclusive",
	AccountStatusDebitsPendingMustBeZero:              "debits_pending_must_be_zero",
	AccountStatusDebitsPostedMustBeZero:               "debits_posted_must_be_zero",
	AccountStatusCreditsPendingMustBeZero:             "credits_pending_must_be_zero",
	AccountStatusCreditsPostedMustBeZero:              "credits_posted_must_be_zero",
	AccountStatusLedgerMustNotBeZero:                  "ledger_must_not_be_zero",
	AccountStatusCodeMustNotBeZero:                    "code_must_not_be_zero",
	AccountStatusExistsWithDifferentFlags:             "exists_with_different_flags",
	AccountStatusExistsWithDifferentUserData128:       "exists_with_different_user_data_128",
	AccountStatusExistsWithDifferentUserData64:        "exists_with_different_user_data_64",
	AccountStatusExistsWithDifferentUserData32:        "exists_with_different_user_data_32",
	AccountStatusExistsWithDifferentLedger:            "exists_with_different_ledger",
	AccountStatusExistsWithDifferentCode:              "exists_with_different_code",
	AccountStatusExists:                               "exists",
	AccountStatusImportedEventExpected:                "imported_event_expected",
	AccountStatusImportedEventNotExpected:             "imported_event_not_expected",
	AccountStatusImportedEventTimestampOutOfRange:     "imported_event_timestamp_out_of_range",
	AccountStatusImportedEventTimestampMustNotAdvance: "imported_event_timestamp_must_not_advance",
	AccountStatusImportedEventTimestampMustNotRegress: "imported_event_timestamp_must_not_regress",
}

var transferStatusNames = [...]string{
	TransferStatusLinkedEventFailed:                               "linked_event_failed",
	TransferStatusLinkedEventChainOpen:                            "linked_event_chain_open",
	TransferStatusTimestampMustBeZero:                             "timestamp_must_be_zero",
	TransferStatusReservedFlag:                                    "reserved_flag",
	TransferStatusIDMustNotBeZero:                                 "id_must_not_be_zero",
	TransferStatusIDMustNotBeIntMax:                               "id_must_not_be_int_max",
	TransferStatusFlagsAreMutuallyExclusive:                       "flags_are_mutually_exclusive",
	TransferStatusDebitAccountIDMustNotBeZero:                     "debit_account_id_must_not_be_zero",
	TransferStatusDebitAccountIDMustNotBeIntMax:                   "debit_account_id_must_not_be_int_max",
	TransferStatusCreditAccountIDMustNotBeZero:                    "credit_account_id_must_not_be_zero",
	TransferStatusCreditAccountIDMustNotBeIntMax:                  "credit_account_id_must_not_be_int_max",
	TransferStatusAccountsMustBeDifferent:                         "accounts_must_be_different",
	TransferStatusPendingIDMustBeZero:                             "pending_id_must_be_zero",
	TransferStatusPendingIDMustNotBeZero:                          "pending_id_must_not_be_zero",
	TransferStatusPendingIDMustNotBeIntMax:                        "pending_id_must_not_be_int_max",
	TransferStatusPendingIDMustBeDifferent:                        "pending_id_must_be_different",
	TransferStatusTimeoutReservedForPendingTransfer:               "timeout_reserved_for_pending_transfer",
	TransferStatusLedgerMustNotBeZero:                             "ledger_must_not_be_zero",
	TransferStatusCodeMustNotBeZero:                               "code_must_not_be_zero",
	TransferStatusDebitAccountNotFound:                            "debit_account_not_found",
	TransferStatusCreditAccountNotFound:                           "credit_account_not_found",
	TransferStatusAccountsMustHaveTheSameLedger:                   "accounts_must_have_the_same_ledger",
	TransferStatusTransferMustHaveTheSameLedgerAsAccounts:         "transfer_must_have_the_same_ledger_as_accounts",
	TransferStatusPendingTransferNotFound:                         "pending_transfer_not_found",
	TransferStatusPendingTransferNotPending:                       "pending_transfer_not_pending",
	TransferStatusPendingTransferHasDifferentDebitAccountID:       "pending_transfer_has_different_debit_account_id",
	TransferStatusPendingTransferHasDifferentCreditAccountID:      "pending_transfer_has_different_credit_account_id",
	TransferStatusPendingTransferHasDifferentLedger:               "pending_transfer_has_different_ledger",
	TransferStatusPendingTransferHasDifferentCode:                 "pending_transfer_has_different_code",
	TransferStatusExceedsPendingTransferAmount:                    "exceeds_pending_transfer_amount",
	TransferStatusPendingTransferHasDifferentAmount:               "pending_transfer_has_different_amount",
	TransferStatusPendingTransferAlreadyPosted:                    "pending_transfer_already_posted",
	TransferStatusPendingTransferAlreadyVoided:                    "pending_transfer_already_voided",
	TransferStatusPendingTransferExpired:                          "pending_transfer_expired",
	TransferStatusExistsWithDifferentFlags:                        "exists_with_different_flags",
	TransferStatusExistsWithDifferentDebitAccountID:               "exists_with_different_debit_account_id",
	TransferStatusExistsWithDifferentCreditAccountID:              "exists_with_different_credit_account_id",
	TransferStatusExistsWithDifferentAmount:                       "exists_with_different_amount",
	TransferStatusExistsWithDifferentPendingID:                    "exists_with_different_pending_id",
	TransferStatusExistsWithDifferentUserData128:                  "exists_with_different_user_data_128",
	TransferStatusExistsWithDifferentUserData64:                   "exists_with_different_user_data_64",
	TransferStatusExistsWithDifferentUserData32:                   "exists_with_different_user_data_32",
	TransferStatusExistsWithDifferentTimeout:                      "exists_with_different_timeout",
	TransferStatusExistsWithDifferentCode:                         "exists_with_different_code",
	TransferStatusExists:                                          "exists",
	TransferStatusOverflowsDebitsPending:                          "overflows_debits_pending",
	TransferStatusOverflowsCreditsPending:                         "overflows_credits_pending",
	TransferStatusOverflowsDebitsPosted:                           "overflows_debits_posted",
	TransferStatusOverflowsCreditsPosted:                          "overflows_credits_posted",
	TransferStatusOverflowsDebits:                                 "overflows_debits",
	TransferStatusOverflowsCredits:                                "overflows_credits",
	TransferStatusOverflowsTimeout:                                "overflows_timeout",
	TransferStatusExceedsCredits:                                  "exceeds_credits",
	TransferStatusExceedsDebits:                                   "exceeds_debits",
	TransferStatusImportedEventExpected:                           "imported_event_expected",
	TransferStatusImportedEventNotExpected:                        "imported_event_not_expected",
	TransferStatusImportedEventTimestampOutOfRange:                "imported_event_timestamp_out_of_range",
	TransferStatusImportedEventTimestampMustNotAdvance:            "imported_event_timestamp_must_not_advance",
	TransferStatusImportedEventTimestampMustNotRegress:            "imported_event_timestamp_must_not_regress",
	TransferStatusImportedEventTimestampMustPostdateDebitAccount:  "imported_event_timestamp_must_postdate_debit_account",
	TransferStatusImportedEventTimestampMustPostdateCreditAccount: "imported_event_timestamp_must_postdate_credit_account",
	TransferStatusImportedEventTimeoutMustBeZero:                  "imported_event_timeout_must_be_zero",
	TransferStatusClosingTransferMustBePending:                    "closing_transfer_must_be_pending",
	TransferStatusDebitAccountAlreadyClosed:                       "debit_account_already_closed",
	TransferStatusCreditAccountAlreadyClosed:                      "credit_account_already_closed",
	TransferStatusExistsWithDifferentLedger:                       "exists_with_different_ledger",
	TransferStatusIDAlreadyFailed:                                 "id_already_failed",
}
