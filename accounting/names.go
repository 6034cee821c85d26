package accounting

import (
	"strconv"
	"strings"
)

var accountFlagNames = [...]string{
	"linked", "debits_must_not_exceed_credits", "credits_must_not_exceed_debits", "history", "imported", "closed",
}

var transferFlagNames = [...]string{
	"linked", "pending", "post_pending_transfer", "void_pending_transfer", "balancing_debit", "balancing_credit",
	"closing_debit", "closing_credit", "imported",
}

var accountFilterFlagNames = [...]string{"debits", "credits", "reversed"}

var queryFilterFlagNames = [...]string{"reversed"}

var eventTypeNames = [...]string{
	"single_phase", "two_phase_pending", "two_phase_posted", "two_phase_voided", "two_phase_expired",
}

var pendingStatusNames = [...]string{"none", "pending", "posted", "voided", "expired"}

// String returns the names of the set flags, joined by "|", and unknown bits as one number; "" for
// none.
func (f AccountFlags) String() string { return flagNames(uint32(f), accountFlagNames[:]) }

// String returns the names of the set flags, joined by "|", and unknown bits as one number; "" for
// none.
func (f TransferFlags) String() string { return flagNames(uint32(f), transferFlagNames[:]) }

// String returns the names of the set flags, joined by "|", and unknown bits as one number; "" for
// none.
func (f AccountFilterFlags) String() string { return flagNames(uint32(f), accountFilterFlagNames[:]) }

// String returns the names of the set flags, joined by "|", and unknown bits as one number; "" for
// none.
func (f QueryFilterFlags) String() string { return flagNames(uint32(f), queryFilterFlagNames[:]) }

// String returns the name of the specification, such as "two_phase_expired".
func (t EventType) String() string { return numberName(int(t), eventTypeNames[:]) }

// String returns the name of the specification, such as "posted".
func (s PendingStatus) String() string { return numberName(int(s), pendingStatusNames[:]) }

func flagNames(flags uint32, names []string) string {
	var set []string
	for bit, name := range names {
		if flags&(1<<bit) != 0 {
			set = append(set, name)
		}
	}
	if unknown := flags >> len(names) << len(names); unknown != 0 {
		set = append(set, "0x"+strconv.FormatUint(uint64(unknown), 16))
	}
	return strings.Join(set, "|")
}

func numberName(number int, names []string) string {
	if number < len(names) {
		return names[number]
	}
	return strconv.Itoa(number)
}
