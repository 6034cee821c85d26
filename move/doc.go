// Package move takes the accounts and transfers of a server out, as files or live, and puts them
// into another one by imported events.
//
//	server --pages--> [Export] --lines--> accounts, transfers, expiries
//	files or server --rows--> [Import] --batches--> server, then every balance is compared
//
// In:     rows of CSV or JSONL, or the pages of a server, each kind in order of timestamps.
// Out:    requests whose outcome is foreseen; a report.
// Owns:   the files of an export, while it runs.
// Limits: a few batches, stateMax accounts and stateMax pending transfers in memory; beside them
// the ids of pending transfers with a timeout that are not resolved. A dry run keeps the accounts
// and the pending transfers that it has seen.
// Faults: a batch with a wrong row is not sent. A killed run is repeated and goes on behind what
// the server has.
// Source: specification, "Accounting state machine", 2 to 7 and 9; docs/move.md.
//
// Why outcomes are foreseen. Timestamps of imports must rise, so a row that fails while the rows
// behind it are created could never be imported again; and a transient failure uses up its id. A
// chain around the batch would store another flag. So the rules of package accounting run over
// what the server says of the rows first, and only a batch without a fault is sent.
package move
