package model

import "fmt"

// Status is the outcome of one event of create_accounts or create_transfers; the two operations
// number their failures differently. Source: accounting, section 15.
type Status uint32

// Created is the success of both operations.
const Created Status = 4294967295

// Outcomes of create_accounts.
const (
	AccountLinkedEventFailed                    Status = 1
	AccountLinkedEventChainOpen                 Status = 2
	AccountTimestampMustBeZero                  Status = 3
	AccountReservedField                        Status = 4
	AccountReservedFlag                         Status = 5
	AccountIDMustNotBeZero                      Status = 6
	AccountIDMustNotBeIntMax                    Status = 7
	AccountFlagsAreMutuallyExclusive            Status = 8
	AccountDebitsPendingMustBeZero              Status = 9
	AccountDebitsPostedMustBeZero               Status = 10
	AccountCreditsPendingMustBeZero             Status = 11
	AccountCreditsPostedMustBeZero              Status = 12
	AccountLedgerMustNotBeZero                  Status = 13
	AccountCodeMustNotBeZero                    Status = 14
	AccountExistsWithDifferentFlags             Status = 15
	AccountExistsWithDifferentUserData128       Status = 16
	AccountExistsWithDifferentUserData64        Status = 17
	AccountExistsWithDifferentUserData32        Status = 18
	AccountExistsWithDifferentLedger            Status = 19
	AccountExistsWithDifferentCode              Status = 20
	AccountExists                               Status = 21
	AccountImportedEventExpected                Status = 22
	AccountImportedEventNotExpected             Status = 23
	AccountImportedEventTimestampOutOfRange     Status = 24
	AccountImportedEventTimestampMustNotAdvance Status = 25
	AccountImportedEventTimestampMustNotRegress Status = 26
)

// AccountStatusMax is the largest failure of create_accounts.
const AccountStatusMax = AccountImportedEventTimestampMustNotRegress

// Outcomes of create_transfers.
const (
	TransferLinkedEventFailed                          Status = 1
	TransferLinkedEventChainOpen                       Status = 2
	TransferTimestampMustBeZero                        Status = 3
	TransferReservedFlag                               Status = 4
	TransferIDMustNotBeZero                            Status = 5
	TransferIDMustNotBeIntMax                          Status = 6
	TransferFlagsAreMutuallyExclusive                  Status = 7
	TransferDebitAccountIDMustNotBeZero                Status = 8
	TransferDebitAccountIDMustNotBeIntMax              Status = 9
	TransferCreditAccountIDMustNotBeZero               Status = 10
	TransferCreditAccountIDMustNotBeIntMax             Status = 11
	TransferAccountsMustBeDifferent                    Status = 12
	TransferPendingIDMustBeZero                        Status = 13
	TransferPendingIDMustNotBeZero                     Status = 14
	TransferPendingIDMustNotBeIntMax                   Status = 15
	TransferPendingIDMustBeDifferent                   Status = 16
	TransferTimeoutReservedForPendingTransfer          Status = 17
	TransferLedgerMustNotBeZero                        Status = 19
	TransferCodeMustNotBeZero                          Status = 20
	TransferDebitAccountNotFound                       Status = 21
	TransferCreditAccountNotFound                      Status = 22
	TransferAccountsMustHaveTheSameLedger              Status = 23
	TransferMustHaveTheSameLedgerAsAccounts            Status = 24
	TransferPendingTransferNotFound                    Status = 25
	TransferPendingTransferNotPending                  Status = 26
	TransferPendingTransferHasDifferentDebitAccountID  Status = 27
	TransferPendingTransferHasDifferentCreditAccountID Status = 28
	TransferPendingTransferHasDifferentLedger          Status = 29
	TransferPendingTransferHasDifferentCode            Status = 30
	TransferExceedsPendingTransferAmount               Status = 31
	TransferPendingTransferHasDifferentAmount          Status = 32
	TransferPendingTransferAlreadyPosted               Status = 33
	TransferPendingTransferAlreadyVoided               Status = 34
	TransferPendingTransferExpired                     Status = 35
	TransferExistsWithDifferentFlags                   Status = 36
	TransferExistsWithDifferentDebitAccountID          Status = 37
	TransferExistsWithDifferentCreditAccountID         Status = 38
	TransferExistsWithDifferentAmount                  Status = 39
	TransferExistsWithDifferentPendingID               Status = 40
	TransferExistsWithDifferentUserData128             Status = 41
	TransferExistsWithDifferentUserData64              Status = 42
	TransferExistsWithDifferentUserData32              Status = 43
	TransferExistsWithDifferentTimeout                 Status = 44
	TransferExistsWithDifferentCode                    Status = 45
	TransferExists                                     Status = 46
	TransferOverflowsDebitsPending                     Status = 47
	TransferOverflowsCreditsPending                    Status = 48
	TransferOverflowsDebitsPosted                      Status = 49
	TransferOverflowsCreditsPosted                     Status = 50
	TransferOverflowsDebits                            Status = 51
	TransferOverflowsCredits                           Status = 52
	TransferOverflowsTimeout                           Status = 53
	TransferExceedsCredits                             Status = 54
	TransferExceedsDebits                              Status = 55
	TransferImportedEventExpected                      Status = 56
	TransferImportedEventNotExpected                   Status = 57
	TransferImportedEventTimestampOutOfRange           Status = 58
	TransferImportedEventTimestampMustNotAdvance       Status = 59
	TransferImportedEventTimestampMustNotRegress       Status = 60
	TransferImportedEventTimestampMustPostdateDebit    Status = 61
	TransferImportedEventTimestampMustPostdateCredit   Status = 62
	TransferImportedEventTimeoutMustBeZero             Status = 63
	TransferClosingTransferMustBePending               Status = 64
	TransferDebitAccountAlreadyClosed                  Status = 65
	TransferCreditAccountAlreadyClosed                 Status = 66
	TransferExistsWithDifferentLedger                  Status = 67
	TransferIDAlreadyFailed                            Status = 68
)

// TransferStatusMax is the largest failure of create_transfers; TransferStatusNever is never sent.
const (
	TransferStatusMax   = TransferIDAlreadyFailed
	TransferStatusNever = Status(18)
)

// isTransient tells whether a failed transfer burns its id. Source: accounting, 6.2.
func isTransient(status Status) bool {
	switch status {
	case TransferDebitAccountNotFound, TransferCreditAccountNotFound, TransferPendingTransferNotFound,
		TransferExceedsCredits, TransferExceedsDebits,
		TransferDebitAccountAlreadyClosed, TransferCreditAccountAlreadyClosed:
		return true
	}
	return false
}

func (s Status) String() string {
	if s == Created {
		return "created"
	}
	return fmt.Sprintf("status %d", uint32(s))
}
