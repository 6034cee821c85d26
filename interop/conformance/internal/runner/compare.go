package runner

import (
	"fmt"
	"io"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// A Difference is one field in which two replies differ.
type Difference struct {
	Row      int    // -1 for the reply as a whole
	Label    string // what the row is about, if it says so itself
	Field    string
	Expected string
	Actual   string
}

// A Mismatch is a reply that is not the expected one.
type Mismatch struct {
	Request     *proto.Request
	Expected    *proto.Reply
	Actual      *proto.Reply
	Differences []Difference
}

// Differences compares two replies to a request, field by field.
func Differences(request *proto.Request, expected, actual *proto.Reply) []Difference {
	var all []Difference
	if expected.Error != actual.Error {
		all = append(all, Difference{Row: -1, Field: "error",
			Expected: orNone(expected.Error), Actual: orNone(actual.Error)})
	}
	if expected.Rows() != actual.Rows() {
		all = append(all, Difference{Row: -1, Field: "number of rows",
			Expected: fmt.Sprint(expected.Rows()), Actual: fmt.Sprint(actual.Rows())})
	}
	for i := range min(len(expected.Results), len(actual.Results)) {
		if expected.Results[i] != actual.Results[i] {
			all = append(all, Difference{Row: i, Field: "result",
				Expected: corpus.ResultText(request, i, expected.Results[i]),
				Actual:   corpus.ResultText(request, i, actual.Results[i])})
		}
	}
	all = compareRows(all, proto.AccountColumns, expected.Accounts, actual.Accounts)
	all = compareRows(all, proto.TransferColumns, expected.Transfers, actual.Transfers)
	all = compareRows(all, proto.BalanceColumns, expected.Balances, actual.Balances)
	all = compareRows(all, proto.ChangeColumns, expected.Changes, actual.Changes)
	return all
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func compareRows[T comparable](all []Difference, columns []proto.Column[T], expected, actual []T) []Difference {
	for i := range min(len(expected), len(actual)) {
		if expected[i] == actual[i] {
			continue
		}
		for c := range columns {
			want, got := columns[c].Text(&expected[i]), columns[c].Text(&actual[i])
			if want != got {
				all = append(all, Difference{Row: i, Label: label(columns, &expected[i]),
					Field: columns[c].Name, Expected: want, Actual: got})
			}
		}
	}
	return all
}

// label is the id of a row, or the timestamp of one without an id.
func label[T any](columns []proto.Column[T], row *T) string {
	for _, name := range []string{"id", "timestamp"} {
		for c := range columns {
			if columns[c].Name == name {
				return name + "=" + columns[c].Text(row)
			}
		}
	}
	return ""
}

// Print writes a mismatch for people: the request, then at most limit differences.
func (m *Mismatch) Print(out io.Writer, limit int) {
	fmt.Fprintf(out, "request %d, %s of %d: the reply differs in %d places\n",
		m.Request.Number, m.Request.Op, m.Request.Events(), len(m.Differences))
	shownEvent := -1
	for i, difference := range m.Differences {
		if i == limit {
			fmt.Fprintf(out, "  ... and %d more\n", len(m.Differences)-limit)
			break
		}
		if event := m.eventText(difference.Row); event != "" && difference.Row != shownEvent {
			fmt.Fprintf(out, "  sent: %s\n", event)
			shownEvent = difference.Row
		}
		difference.print(out)
	}
}

func (d *Difference) print(out io.Writer) {
	fmt.Fprint(out, "  ")
	if d.Row >= 0 {
		fmt.Fprintf(out, "row %d ", d.Row)
	}
	if d.Label != "" {
		fmt.Fprintf(out, "(%s) ", d.Label)
	}
	fmt.Fprintln(out, d.Field)
	if d.Expected != "" || d.Actual != "" {
		fmt.Fprintf(out, "    expected: %s\n    actual:   %s\n", d.Expected, d.Actual)
	}
}

// eventText is the event of the request that a row of the reply answers. Replies to
// lookups and queries have no such events: there it is the filter, or nothing.
func (m *Mismatch) eventText(row int) string {
	request := m.Request
	switch {
	case row >= 0 && row < len(request.Accounts):
		return rowText(proto.AccountColumns, &request.Accounts[row])
	case row >= 0 && row < len(request.Transfers):
		return rowText(proto.TransferColumns, &request.Transfers[row])
	case request.AccountFilter != nil:
		return rowText(proto.AccountFilterColumns, request.AccountFilter)
	case request.QueryFilter != nil:
		return rowText(proto.QueryFilterColumns, request.QueryFilter)
	case request.ChangesFilter != nil:
		return rowText(proto.ChangesFilterColumns, request.ChangesFilter)
	}
	return ""
}

func rowText[T any](columns []proto.Column[T], row *T) string {
	return string(proto.AppendRow(nil, columns, row))
}
