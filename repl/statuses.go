package repl

// explanation is what the shell says of a status of a result, or of the reason why a server ended a
// session.
type explanation struct {
	name  string
	means string
	do    string
	// usesUpID: a transfer that got it can never be created with the same id.
	usesUpID bool
}

const (
	doResend  = "Send the object with the values of its first creation, or a new one under a new id. Lookup shows what is stored."
	doZero    = "Leave the field out, or set it to 0. The server keeps the balances."
	doSmaller = "Use a smaller amount. Sums of 2^128-1 are reached by mistake only, as by an amount of -0."
	doNewID   = "Mend the cause, then send the transfer under a new id."
	doCode    = "Choose a number above 0."
)

// explanations has every status of both kinds of results, and every reason of an eviction.
func explanations() []explanation {
	return []explanation{
		{"created", "The object was created.", "Nothing.", false},
		{"exists", "An object with this id and the same values was created before; the timestamp is that of the first creation.",
			"Nothing: to send an event again is safe.", false},
		{"linked_event_failed", "Another event of its linked chain failed, so the whole chain was undone.",
			"Look at the results of the chain: exactly one tells another status, and that one is the cause. The ids stay free.", false},
		{"linked_event_chain_open", "The last event of the request has the flag linked, so the chain has no end.",
			"Leave linked out at the last event of each chain. A chain cannot go on in another request.", false},
		{"timestamp_must_be_zero", "The event brings a timestamp and is not imported.", "Leave timestamp out, or set the flag imported.", false},
		{"reserved_field", "A reserved field is not zero.", "Set it to zero, or use a client library that matches the server.", false},
		{"reserved_flag", "A flag is set that has no meaning.", "Clear it, or use a client library that matches the server.", false},
		{"id_must_not_be_zero", "The id is 0.", "Give an id of 1 to 2^128-2.", false},
		{"id_must_not_be_int_max", "The id is 2^128-1.", "Give an id of 1 to 2^128-2.", false},
		{"flags_are_mutually_exclusive", "Two flags contradict each other: both limits of an account, or post and void, or one of these " +
			"two with pending, balancing or closing.", "Leave one of them out.", false},

		{"debits_pending_must_be_zero", "A new account brings a balance.", doZero, false},
		{"debits_posted_must_be_zero", "A new account brings a balance.", doZero, false},
		{"credits_pending_must_be_zero", "A new account brings a balance.", doZero, false},
		{"credits_posted_must_be_zero", "A new account brings a balance.", doZero, false},
		{"ledger_must_not_be_zero", "The ledger is 0.", doCode, false},
		{"code_must_not_be_zero", "The code is 0.", doCode, false},

		{"exists_with_different_flags", "The id is taken by an object with other flags. An account's closed counts too.", doResend, false},
		{"exists_with_different_debit_account_id", "The id is taken by a transfer with another debit account.", doResend, false},
		{"exists_with_different_credit_account_id", "The id is taken by a transfer with another credit account.", doResend, false},
		{"exists_with_different_amount", "The id is taken by a transfer with another amount.", doResend, false},
		{"exists_with_different_pending_id", "The id is taken by a transfer with another pending_id.", doResend, false},
		{"exists_with_different_user_data_128", "The id is taken by an object with another user_data_128.", doResend, false},
		{"exists_with_different_user_data_64", "The id is taken by an object with another user_data_64.", doResend, false},
		{"exists_with_different_user_data_32", "The id is taken by an object with another user_data_32.", doResend, false},
		{"exists_with_different_timeout", "The id is taken by a transfer with another timeout.", doResend, false},
		{"exists_with_different_ledger", "The id is taken by an object of another ledger.", doResend, false},
		{"exists_with_different_code", "The id is taken by an object with another code.", doResend, false},

		{"imported_event_expected", "The first event of the request is imported, and this one is not.",
			"Send imported and other events in requests of their own.", false},
		{"imported_event_not_expected", "The first event of the request is not imported, and this one is.",
			"Send imported and other events in requests of their own.", false},
		{"imported_event_timestamp_out_of_range", "The timestamp of an imported event is not 1 to 2^63-1.",
			"Give nanoseconds since 1970.", false},
		{"imported_event_timestamp_must_not_advance", "The timestamp of an imported event lies in the server's future.",
			"Give one of the past, and check the clocks.", false},
		{"imported_event_timestamp_must_not_regress", "A younger object of this kind, or any object with this timestamp, exists already.",
			"Import in the order of timestamps, accounts first, and before the first events that are not imported.", false},
		{"imported_event_timestamp_must_postdate_debit_account", "The imported transfer is not younger than its debit account.",
			"Import the account with an earlier timestamp.", false},
		{"imported_event_timestamp_must_postdate_credit_account", "The imported transfer is not younger than its credit account.",
			"Import the account with an earlier timestamp.", false},
		{"imported_event_timeout_must_be_zero", "An imported transfer has a timeout.",
			"Import it without one, and resolve it by a transfer of its own.", false},

		{"debit_account_id_must_not_be_zero", "debit_account_id is 0.", "Name the account.", false},
		{"debit_account_id_must_not_be_int_max", "debit_account_id is 2^128-1.", "Name the account.", false},
		{"credit_account_id_must_not_be_zero", "credit_account_id is 0.", "Name the account.", false},
		{"credit_account_id_must_not_be_int_max", "credit_account_id is 2^128-1.", "Name the account.", false},
		{"accounts_must_be_different", "Debit and credit account are one account.", "Name two accounts.", false},
		{"debit_account_not_found", "There is no account with the id debit_account_id.",
			"Create the account, or correct the id. Then send the transfer under a new id.", true},
		{"credit_account_not_found", "There is no account with the id credit_account_id.",
			"Create the account, or correct the id. Then send the transfer under a new id.", true},
		{"accounts_must_have_the_same_ledger", "The two accounts are of different ledgers.",
			"Move money between ledgers by two linked transfers, through an account in each.", false},
		{"transfer_must_have_the_same_ledger_as_accounts", "The transfer names another ledger than its accounts have.",
			"Give the ledger of the accounts.", false},
		{"debit_account_already_closed", "The debit account is closed.",
			"Void the closing transfer, which opens the account again. " + doNewID, true},
		{"credit_account_already_closed", "The credit account is closed.",
			"Void the closing transfer, which opens the account again. " + doNewID, true},
		{"closing_transfer_must_be_pending", "closing_debit or closing_credit is set without pending.", "Set the flag pending too.", false},
		{"timeout_reserved_for_pending_transfer", "A transfer that is not pending has a timeout.",
			"Leave timeout out, or set the flag pending.", false},
		{"id_already_failed", "A transfer with this id failed before, in a way that uses up the id.",
			"Send the transfer under a new id, once the first cause is mended.", false},
		{"exceeds_credits", "The debit account has debits_must_not_exceed_credits, and its debits, pending ones included, would exceed " +
			"its posted credits.", "Credit the account first, lower the amount, or set balancing_debit to move what is there. " + doNewID, true},
		{"exceeds_debits", "The credit account has credits_must_not_exceed_debits, and its credits, pending ones included, would exceed " +
			"its posted debits.", "Debit the account first, lower the amount, or set balancing_credit to move what is there. " + doNewID, true},

		{"pending_id_must_be_zero", "pending_id is given, and the transfer neither posts nor voids.",
			"Set post_pending_transfer or void_pending_transfer, or leave pending_id out.", false},
		{"pending_id_must_not_be_zero", "The transfer posts or voids, and pending_id is 0.", "Name the pending transfer.", false},
		{"pending_id_must_not_be_int_max", "pending_id is 2^128-1.", "Name the pending transfer.", false},
		{"pending_id_must_be_different", "pending_id is the transfer's own id.", "Give the transfer an id of its own.", false},
		{"pending_transfer_not_found", "There is no transfer with the id pending_id.",
			"Correct pending_id, or create the pending transfer. Then send this one under a new id.", true},
		{"pending_transfer_not_pending", "The transfer with the id pending_id is not pending.", "Correct pending_id.", false},
		{"pending_transfer_has_different_debit_account_id", "The pending transfer has another debit account.",
			"Leave debit_account_id out, or give the same.", false},
		{"pending_transfer_has_different_credit_account_id", "The pending transfer has another credit account.",
			"Leave credit_account_id out, or give the same.", false},
		{"pending_transfer_has_different_ledger", "The pending transfer is of another ledger.", "Leave ledger out, or give the same.", false},
		{"pending_transfer_has_different_code", "The pending transfer has another code.", "Leave code out, or give the same.", false},
		{"pending_transfer_has_different_amount", "A void gives back the whole amount, and another amount is given.",
			"Leave amount out.", false},
		{"exceeds_pending_transfer_amount", "The amount to post is larger than the pending one.",
			"Post at most the pending amount, or amount=-0 for all of it. A second transfer can move the rest.", false},
		{"pending_transfer_already_posted", "The pending transfer was posted before.", "Nothing: a pending transfer is resolved once.", false},
		{"pending_transfer_already_voided", "The pending transfer was voided before.", "Create a new transfer.", false},
		{"pending_transfer_expired", "The timeout of the pending transfer is over, and its amount was given back.",
			"Create a new transfer, with a longer timeout if need be.", false},

		{"overflows_debits_pending", "debits_pending of the debit account would exceed 2^128-1.", doSmaller, false},
		{"overflows_credits_pending", "credits_pending of the credit account would exceed 2^128-1.", doSmaller, false},
		{"overflows_debits_posted", "debits_posted of the debit account would exceed 2^128-1.", doSmaller, false},
		{"overflows_credits_posted", "credits_posted of the credit account would exceed 2^128-1.", doSmaller, false},
		{"overflows_debits", "Pending and posted debits of the debit account together would exceed 2^128-1.", doSmaller, false},
		{"overflows_credits", "Pending and posted credits of the credit account together would exceed 2^128-1.", doSmaller, false},
		{"overflows_timeout", "The transfer would expire after the last timestamp, 2^63-1.", "Use a shorter timeout.", false},

		{"no_session", "The server gave the session's place to another client: it has a place for 64, or for --clients-max.",
			"Use fewer clients at a time, or format with a larger --clients-max.", false},
		{"client_release_too_low", "The server no longer serves so old a client.", "Upgrade the client.", false},
		{"client_release_too_high", "The server does not know so new a client yet.",
			"Upgrade the server, or start it with --client-release-max.", false},
		{"invalid_request_operation", "The server does not know the operation.", "Use a client library that matches the server.", false},
		{"invalid_request_body", "The server cannot read the request, or its reply would not fit.",
			"Use a client library that matches the server, and lower limits.", false},
		{"invalid_request_body_size", "The request is larger than the server takes.",
			"Send fewer events at a time; a server started with --development takes 253.", false},
		{"session_too_low", "The client's session is older than the one that the server has for its id.",
			"Give each client an id of its own.", false},
		{"session_release_mismatch", "The client's release differs from the one of its session.",
			"Start the client again after an upgrade.", false},
	}
}
