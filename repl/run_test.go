package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// fake is a session whose answers the test gives. It notes what was asked.
type fake struct {
	database // nil: what is not overridden below is not called

	asked  []string
	answer func(ctx context.Context, objects any) (any, error)
	closed int
}

func (f *fake) BodyBytesMax() uint32 { return wire.BodyBytesMax }
func (f *fake) Close()               { f.closed++ }

// called notes a call, and gives the test's answer as rows.
func called[R any](ctx context.Context, f *fake, objects any) ([]R, error) {
	f.asked = append(f.asked, fmt.Sprintf("%+v", objects))
	answer, err := f.answer(ctx, objects)
	if err != nil {
		return nil, err
	}
	rows, _ := answer.([]R)
	return rows, nil
}

func (f *fake) CreateAccounts(ctx context.Context, accounts []client.Account) ([]client.CreateAccountResult, error) {
	return called[client.CreateAccountResult](ctx, f, accounts)
}

func (f *fake) CreateTransfers(ctx context.Context, transfers []client.Transfer) ([]client.CreateTransferResult, error) {
	return called[client.CreateTransferResult](ctx, f, transfers)
}

func (f *fake) LookupAccounts(ctx context.Context, ids []client.U128) ([]client.Account, error) {
	return called[client.Account](ctx, f, ids)
}

func (f *fake) GetAccountTransfers(ctx context.Context, filter client.AccountFilter) ([]client.Transfer, error) {
	return called[client.Transfer](ctx, f, filter)
}

func (f *fake) QueryAccounts(ctx context.Context, filter client.QueryFilter) ([]client.Account, error) {
	return called[client.Account](ctx, f, filter)
}

func (f *fake) GetChangeEvents(ctx context.Context, filter client.ChangeEventsFilter) ([]client.ChangeEvent, error) {
	return called[client.ChangeEvent](ctx, f, filter)
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// bed is a runner on a fake session.
type bed struct {
	*runner
	session *fake
	opened  int
	out     bytes.Buffer
	said    lockedBuffer
}

func newBed(t *testing.T, answer func(ctx context.Context, objects any) (any, error)) *bed {
	t.Helper()
	b := &bed{session: &fake{answer: answer}}
	b.runner = newRunner(Options{Addresses: []string{"127.0.0.1:1"}, Format: FormatJSON, Messages: &b.said}, "test")
	b.printer.out, b.Late = &b.out, time.Hour
	b.Open = func(context.Context, client.Options) (session, error) {
		b.opened++
		return b.session, nil
	}
	return b
}

// nothing is an answer without rows.
func nothing(context.Context, any) (any, error) { return nil, nil }

func (b *bed) script(t *testing.T, text string) error {
	t.Helper()
	return b.stream(context.Background(), strings.NewReader(text))
}

// says checks the messages.
func (b *bed) says(t *testing.T, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(b.said.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.said.String())
		}
	}
}

// Goal: all statements run, in their order, whatever is wrong with others. Each wrong one is
// reported with its place in the whole text.
func TestAllStatementsRun(t *testing.T) {
	b := newBed(t, nothing)
	err := b.script(t, "lookup_accounts id=1;\n# a comment\n  nonsense; lookup_accounts id=2,; lookup_accounts\n id=3; "+
		"explain nonsense;\nlookup_accounts id=4")
	if err != nil || b.failedCount != 3 || b.opened != 1 {
		t.Errorf("error %v, %d failed, %d sessions", err, b.failedCount, b.opened)
	}
	if want := "[1] [3] [4]"; strings.Join(b.session.asked, " ") != want {
		t.Errorf("asked %v, want %s", b.session.asked, want)
	}
	b.says(t, "test:3:3: unknown statement \"nonsense\"", "test:3:34: expected a field such as id=1, found \";\"",
		"test:4:8: explain: unknown status \"nonsense\"")
	if b.out.Len() != 0 {
		t.Errorf("empty results print %q", b.out.String())
	}
}

// Goal: a filter that leaves out limit and sides gets all rows of both sides; what is given stays.
// A filter that finds nothing because it is invalid is told of.
func TestFilters(t *testing.T) {
	for _, test := range []struct{ text, want, says string }{
		{"get_account_transfers account_id=7", "Limit:8189 Flags:debits|credits", ""},
		{"get_account_transfers account_id=7 flags=debits limit=3", "Limit:3 Flags:debits", ""},
		{"query_accounts", "Limit:8189 Flags:}", ""},
		{"query_accounts flags=reversed limit=9000", "Limit:9000 Flags:reversed", ""},
		{"get_change_events", "Limit:2730", ""},
		{"get_account_transfers account_id=7 flags=reversed", "Flags:reversed", "flags has neither debits nor credits"},
		{"get_account_transfers account_id=0", "Limit:8189", "no account has this account_id"},
		{"query_accounts limit=0", "Limit:0", "limit is 0"},
		{"query_accounts timestamp_min=2 timestamp_max=1", "TimestampMin:2", "timestamp_min is above timestamp_max"},
		{"query_accounts timestamp_min=2", "TimestampMin:2 TimestampMax:0", ""},
		{"get_change_events timestamp_max=-0", "Limit:2730", "timestamps end at 2^63-1"},
	} {
		b := newBed(t, nothing)
		if err := b.script(t, test.text); err != nil || b.failedCount != 0 || len(b.session.asked) != 1 {
			t.Fatalf("%s: error %v, %d failed, asked %q", test.text, err, b.failedCount, b.session.asked)
		}
		if !strings.Contains(b.session.asked[0], test.want) {
			t.Errorf("%s: %s, want %s", test.text, b.session.asked[0], test.want)
		}
		if b.says(t, test.says); test.says == "" && b.said.String() != "" {
			t.Errorf("%s: %s", test.text, b.said.String())
		}
	}
}

// Goal: a result that is as long as a reply can be is not taken for the whole.
func TestFullReply(t *testing.T) {
	b := newBed(t, func(context.Context, any) (any, error) { return make([]client.Account, 8189), nil })
	err := b.script(t, "query_accounts; query_accounts limit=8189")
	if err != nil || strings.Count(b.said.String(), "there may be more") != 1 {
		t.Errorf("%v: %s", err, b.said.String())
	}
}

// Goal: a statement whose events are refused fails; one that finds its events there does not. The
// message names the first status that tells a cause.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		statuses []accounting.TransferStatus
		want     string
	}{
		{[]accounting.TransferStatus{accounting.TransferStatusCreated, accounting.TransferStatusExists}, ""},
		{[]accounting.TransferStatus{accounting.TransferStatusLinkedEventFailed, accounting.TransferStatusExceedsCredits,
			accounting.TransferStatusCreated}, "2 of 3 refused; explain exceeds_credits tells what to do"},
		{[]accounting.TransferStatus{accounting.TransferStatusExistsWithDifferentCode}, "1 of 1 refused; explain exists_with_different_code"},
	} {
		for _, isAllowed := range []bool{false, true} {
			b := newBed(t, func(context.Context, any) (any, error) {
				var results []client.CreateTransferResult
				for _, status := range test.statuses {
					results = append(results, client.CreateTransferResult{Status: status})
				}
				return results, nil
			})
			b.allowRefused = isAllowed
			isFailed := test.want != "" && !isAllowed
			if err := b.script(t, "create_transfers id=1"); err != nil || (b.failedCount > 0) != isFailed {
				t.Errorf("%v: error %v, %d failed, want %v", test.statuses, err, b.failedCount, isFailed)
			}
			if isFailed {
				b.says(t, test.want)
			}
			if strings.Count(b.out.String(), "\n") != len(test.statuses) {
				t.Errorf("%v: printed %s", test.statuses, b.out.String())
			}
		}
	}
}

// Goal: more objects than a request takes are refused, with the limit.
func TestTooManyObjects(t *testing.T) {
	b := newBed(t, func(context.Context, any) (any, error) { return nil, client.ErrTooMuchData })
	if err := b.script(t, "create_accounts id=1; help"); err != nil || b.failedCount != 1 {
		t.Errorf("error %v, %d failed", err, b.failedCount)
	}
	b.says(t, "has 1 objects: a request of this server takes 8189 at most")
}

// Goal: a statement without an answer ends after its timeout. It tells whether it may have taken
// effect, and the statements behind it do not run, because they may build on it.
func TestTimeout(t *testing.T) {
	wait := func(ctx context.Context, _ any) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
	b := newBed(t, wait)
	b.Timeout = time.Millisecond
	if err := b.script(t, "create_accounts id=1; lookup_accounts id=1"); err == nil || len(b.session.asked) != 1 {
		t.Errorf("error %v, asked %v", err, b.session.asked)
	}
	b.says(t, "test:1:1: create_accounts: no answer within 1ms: nobody listens at 127.0.0.1:1; a server of cluster 0 is expected",
		"It may still take effect. Run it again")

	b = newBed(t, wait)
	b.Timeout = time.Millisecond
	b.Open = func(ctx context.Context, _ client.Options) (session, error) { <-ctx.Done(); return nil, ctx.Err() }
	if err := b.script(t, "create_accounts id=1; lookup_accounts id=1"); err == nil {
		t.Error("no error")
	}
	b.says(t, "no answer within 1ms", "It was not sent.")
	if strings.Contains(b.said.String(), "take effect") {
		t.Error(b.said.String())
	}
}

// Goal: an evicted session is told of and replaced for the next statement.
func TestEvicted(t *testing.T) {
	count := 0
	b := newBed(t, func(context.Context, any) (any, error) {
		if count++; count == 1 {
			return nil, &client.EvictedError{Reason: wire.EvictionNoSession}
		}
		return nil, nil
	})
	b.source = "" // at a terminal
	for range 2 {
		if err := b.text(context.Background(), "lookup_accounts id=1", position{0, 1, 1}); err != nil {
			t.Fatal(err)
		}
	}
	if b.opened != 2 || b.session.closed != 1 || b.failedCount != 1 {
		t.Errorf("%d sessions were opened and %d closed, %d failed", b.opened, b.session.closed, b.failedCount)
	}
	b.says(t, "the server has ended the session: no_session; explain no_session tells what to do")
}

// Goal: an end of the context cancels the statement, and the next one runs in the same session.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	isFirst := true
	b := newBed(t, func(ctx context.Context, _ any) (any, error) {
		if !isFirst {
			return nil, nil
		}
		isFirst = false
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	b.source = ""
	if err := b.text(ctx, "create_accounts id=1; lookup_accounts id=2", position{0, 1, 1}); err != nil {
		t.Fatal(err)
	}
	b.says(t, "create_accounts: cancelled", "It may still take effect")
	err := b.text(context.Background(), "lookup_accounts id=3", position{0, 1, 1})
	if err != nil || b.opened != 1 || len(b.session.asked) != 2 {
		t.Errorf("error %v, %d sessions, asked %v", err, b.opened, b.session.asked)
	}
}

// Goal: an output that takes nothing ends the shell.
func TestBrokenOutput(t *testing.T) {
	b := newBed(t, func(context.Context, any) (any, error) { return make([]client.Account, 1), nil })
	b.printer.out = brokenPipe{}
	if err := b.script(t, "lookup_accounts id=1; lookup_accounts id=1"); err == nil || len(b.session.asked) != 1 {
		t.Errorf("error %v, asked %v", err, b.session.asked)
	}
}

// endless gives bytes that end no statement, and then an end.
type endless struct {
	left int
	then string
}

func (e *endless) Read(out []byte) (int, error) {
	if e.left > 0 {
		count := min(len(out), e.left)
		for i := range count {
			out[i] = ' '
		}
		e.left -= count
		return count, nil
	}
	if e.then == "" {
		return 0, errors.New("a bad disk")
	}
	count := copy(out, e.then)
	e.then = e.then[count:]
	return count, nil
}

// Goal: a statement that does not end is refused in bounded memory, and the next one runs. A file
// that cannot be read is an error.
func TestLongStatement(t *testing.T) {
	b := newBed(t, nothing)
	err := b.stream(context.Background(), &endless{statementBytesMax + 1, "; lookup_accounts id=1; lookup_accounts id=2"})
	if err == nil || !strings.Contains(err.Error(), "reading test: a bad disk") || b.failedCount != 1 || len(b.session.asked) != 1 {
		t.Errorf("error %v, %d failed, asked %v", err, b.failedCount, b.session.asked)
	}
	b.says(t, "test:1:1: the statement has no semicolon within 16 MiB")
}
