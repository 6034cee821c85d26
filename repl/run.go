package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ledger/accounting"
	"ledger/client"
	"ledger/patient"
	"ledger/wire"
)

// runner runs statements one after the other.
type runner struct {
	patient.Connection[session]
	*parser
	printer      *printer
	source       string // of the statements, for messages; "": a terminal
	allowRefused bool
	verbose      bool
	failedCount  int // statements that failed
}

// errOutput says that results cannot be written, so that there is no use in going on.
type errOutput struct{ err error }

func (e *errOutput) Error() string { return "writing results: " + e.err.Error() }
func (e *errOutput) Unwrap() error { return e.err }

// stream runs all statements of a stream. A statement that fails does not stop the ones behind it.
// One that gets no answer does: they may build on it.
func (r *runner) stream(ctx context.Context, in io.Reader) error {
	for s := newSplitter(in); ; {
		text, start, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLong):
			r.fail(start, err.Error(), "")
			continue
		case err != nil:
			return fmt.Errorf("reading %s: %w", r.source, err)
		}
		if err := r.text(ctx, text, start); err != nil {
			return err
		}
	}
}

// text runs the statements of a text that starts at start.
func (r *runner) text(ctx context.Context, text string, start position) error {
	for _, one := range r.parse(text) {
		if one.err != nil {
			r.fail(one.err.at.moved(start), one.err.message, excerpt(text, one.err.at))
			continue
		}
		err := r.run(ctx, one.statement)
		if output := (*errOutput)(nil); errors.As(err, &output) {
			return err
		}
		if err == nil {
			continue
		}
		r.fail(one.statement.at.moved(start), one.statement.verb.name+": "+err.Error(), "")
		if unanswered := (*patient.Unanswered)(nil); errors.As(err, &unanswered) {
			r.unanswered(one.statement, unanswered)
			if r.source != "" {
				return errors.New("the statements behind it were not run")
			}
			return nil
		}
	}
	return nil
}

// unanswered says what may have happened to a statement without an answer.
func (r *runner) unanswered(s *statement, err *patient.Unanswered) {
	if s.verb.operation.Class() != wire.ClassCreate {
		return
	}
	if !err.IsSent {
		fmt.Fprintln(r.Messages, "It was not sent.")
		return
	}
	fmt.Fprintln(r.Messages, "It may still take effect. Run it again: what was created answers exists, and nothing is created twice.")
}

// fail reports a statement that failed.
func (r *runner) fail(at position, message, excerpt string) {
	r.failedCount++
	switch {
	case r.source != "":
		fmt.Fprintf(r.Messages, "%s:%d:%d: %s\n%s", r.source, at.line, at.column, message, excerpt)
	case excerpt != "":
		fmt.Fprintf(r.Messages, "line %d, column %d: %s\n%s", at.line, at.column, message, excerpt)
	default:
		fmt.Fprintln(r.Messages, message)
	}
}

// excerpt shows a place in a text: its line, or the part of it that is near, and a mark below.
func excerpt(text string, at position) string {
	const runesAround = 60
	begin := strings.LastIndexByte(text[:at.offset], '\n') + 1
	before, after := []rune(text[begin:at.offset]), []rune(text[at.offset:])
	if end := slices.Index(after, '\n'); end >= 0 {
		after = after[:end]
	}
	before = before[max(0, len(before)-runesAround):]
	after = after[:min(len(after), runesAround)]
	line := []rune(printable(string(before) + string(after)))
	return fmt.Sprintf("  %s\n  %s^\n", strings.TrimRight(string(line), " "), strings.Repeat(" ", len(before)))
}

// printable replaces what would move the cursor, one character for one.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
}

// run runs one statement and shows its results.
func (r *runner) run(ctx context.Context, s *statement) error {
	switch s.verb.name {
	case "explain":
		return explain(r.printer.out, s.topic)
	case "help":
		return r.help(r.printer.out, s.topic)
	}
	var rows any
	var filter note
	begun := time.Now()
	err := r.Do(ctx, func(ctx context.Context, current session) error {
		filter = r.complete(s, current)
		var err error
		rows, err = s.verb.run(ctx, current, s)
		if errors.Is(err, client.ErrTooMuchData) {
			return fmt.Errorf("has %d objects: a request of this server takes %d at most, so write several statements", s.objects.Len(),
				wire.EventsMax(s.verb.operation, current.BodyBytesMax()))
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := r.printer.rows(rows); err != nil {
		return &errOutput{err}
	}
	rowsCount := reflect.ValueOf(rows).Len()
	if r.verbose {
		fmt.Fprintf(r.Messages, "%s: %d rows in %v\n", s.verb.name, rowsCount, time.Since(begun).Round(time.Microsecond))
	}
	switch {
	case filter.invalid != "":
		fmt.Fprintf(r.Messages, "%s: nothing can be found, because %s\n", s.verb.name, filter.invalid)
	case filter.isDefault && uint32(rowsCount) == filter.limit:
		fmt.Fprintf(r.Messages, "%s: these are %d rows, the most of a reply; there may be more, which timestamp_min or timestamp_max reach\n",
			s.verb.name, rowsCount)
	}
	return r.refused(rows)
}

// note is what a query's own answer cannot tell, because an invalid filter just finds nothing.
type note struct {
	invalid   string
	limit     uint32
	isDefault bool // the limit was left out
}

// complete fills in what a filter leaves out: as many rows as a reply holds, and both sides of an
// account.
func (r *runner) complete(s *statement, current session) (n note) {
	if s.verb.operation.Class() != wire.ClassQuery {
		return n
	}
	n.limit, n.isDefault = wire.RowsMax(s.verb.operation, current.BodyBytesMax()), !slices.Contains(s.given, "limit")
	filter := s.objects.Index(0)
	if n.isDefault {
		filter.FieldByName("Limit").SetUint(uint64(n.limit))
	}
	timestampMin, timestampMax := filter.FieldByName("TimestampMin").Uint(), filter.FieldByName("TimestampMax").Uint()
	switch {
	case filter.FieldByName("Limit").Uint() == 0:
		n.invalid = "limit is 0"
	case timestampMin > accounting.TimestampMax || timestampMax > accounting.TimestampMax:
		n.invalid = "timestamps end at 2^63-1"
	case timestampMax != 0 && timestampMin > timestampMax:
		n.invalid = "timestamp_min is above timestamp_max"
	}
	account, isAccount := filter.Addr().Interface().(*client.AccountFilter)
	if !isAccount {
		return n
	}
	if !slices.Contains(s.given, "flags") {
		account.Flags = accounting.FilterDebits | accounting.FilterCredits
	}
	switch {
	case account.AccountID.IsZero() || account.AccountID.IsMax():
		n.invalid = "no account has this account_id"
	case account.Flags&(accounting.FilterDebits|accounting.FilterCredits) == 0:
		n.invalid = "flags has neither debits nor credits; write flags=debits|credits|reversed for both sides"
	}
	return n
}

// refused is the error that a server refused events. One that was there before is none.
func (r *runner) refused(rows any) error {
	var statuses []string
	switch results := rows.(type) {
	case []client.CreateAccountResult:
		for _, one := range results {
			statuses = append(statuses, one.Status.String())
		}
	case []client.CreateTransferResult:
		for _, one := range results {
			statuses = append(statuses, one.Status.String())
		}
	}
	first, count := "", 0
	for _, status := range statuses {
		if status == "created" || status == "exists" {
			continue
		}
		if count++; first == "" || first == "linked_event_failed" {
			first = status
		}
	}
	if count == 0 || r.allowRefused {
		return nil
	}
	return fmt.Errorf("%d of %d refused; explain %s tells what to do", count, len(statuses), first)
}
