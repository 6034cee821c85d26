package patient

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/client"
	"ledger/wire"
)

// said are messages of several goroutines.
type said struct {
	mu   sync.Mutex
	text string
}

func (s *said) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += string(text)
	return len(text), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// counted counts its being closed.
type counted struct{ closed *int }

func (c counted) Close() { *c.closed++ }

// bed is a connection to nothing that counts its sessions.
type bed struct {
	*Connection[counted]
	opened, closed int
	said           said
}

func newBed() *bed {
	b := &bed{}
	b.Connection = &Connection[counted]{Options: client.Options{Addresses: []string{"127.0.0.1:1"}}, Messages: &b.said, Late: time.Hour,
		Open: func(context.Context, client.Options) (counted, error) { b.opened++; return counted{&b.closed}, nil }}
	return b
}

// Goal: calls share a session. One that the server has ended is closed, and replaced for the next
// call; what is wrong with a call itself leaves it alone.
func TestSessions(t *testing.T) {
	b := newBed()
	wrong := errors.New("wrong")
	for _, test := range []struct {
		err            error
		opened, closed int
		says           string
	}{
		{nil, 1, 0, ""}, {wrong, 1, 0, "wrong"}, {nil, 1, 0, ""},
		{&client.EvictedError{Reason: wire.EvictionNoSession}, 1, 1, "the server has ended the session: no_session; explain no_session tells"},
		{&client.EvictedError{Reason: wire.EvictionReleaseTooHigh, Release: wire.ReleaseSpokenMin, Announced: wire.ReleaseOf(0, 16, 78)}, 2, 2,
			"the server refuses clients of release 0.17.0 with client_release_too_high, and announces 0.16.78; this program speaks 0.17.0 to"},
		{nil, 3, 2, ""}, {client.ErrClosed, 3, 3, "the session has ended"}, {nil, 4, 3, ""},
	} {
		err := b.Do(context.Background(), func(context.Context, counted) error { return test.err })
		if (err == nil) != (test.err == nil) || err != nil && !strings.Contains(err.Error(), test.says) || b.opened != test.opened ||
			b.closed != test.closed {
			t.Errorf("%v: error %v, %d sessions opened, %d closed; want %+v", test.err, err, b.opened, b.closed, test)
		}
	}
	b.Close()
	b.Close()
	if b.closed != 4 {
		t.Errorf("%d sessions were closed, want 4", b.closed)
	}
}

// Goal: a call without an answer ends with the timeout, or with the context. It tells whether it
// was sent.
func TestUnanswered(t *testing.T) {
	never := func(ctx context.Context, _ counted) error { <-ctx.Done(); return ctx.Err() }
	b := newBed()
	b.Timeout = time.Millisecond
	unanswered := (*Unanswered)(nil)
	err := b.Do(context.Background(), never)
	if !errors.As(err, &unanswered) || !unanswered.IsSent ||
		err.Error() != "no answer within 1ms: nobody listens at 127.0.0.1:1; a server of cluster 0 is expected" {
		t.Errorf("%#v", err)
	}
	b = newBed()
	b.Timeout = time.Millisecond
	b.Open = func(ctx context.Context, _ client.Options) (counted, error) {
		<-ctx.Done()
		return counted{}, ctx.Err()
	}
	if err := b.Do(context.Background(), never); !errors.As(err, &unanswered) || unanswered.IsSent {
		t.Errorf("%#v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b = newBed()
	err = b.Do(ctx, func(ctx context.Context, _ counted) error { cancel(); return never(ctx, counted{}) })
	if !errors.As(err, &unanswered) || !unanswered.IsSent || err.Error() != "cancelled" {
		t.Errorf("%#v", err)
	}
}

// Goal: a server that is late is told of, with what can be seen of it, while the call waits.
func TestLate(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b := newBed()
	b.Options.Addresses = append(b.Options.Addresses, listener.Addr().String(), "a..b:1")
	b.Late, b.Timeout = time.Millisecond, time.Minute
	err = b.Do(context.Background(), func(ctx context.Context, _ counted) error {
		for !strings.Contains(b.said.String(), "Waiting for it") {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if want := "no answer for 1ms: nobody listens at 127.0.0.1:1, " + listener.Addr().String() +
		" accepts connections and does not answer (ledger ping tells why), the name of a..b:1 is unknown (no such host); " +
		"a server of cluster 0 is expected. Waiting for it\n"; err != nil || b.said.String() != want {
		t.Errorf("%v: got %q, want %q", err, b.said.String(), want)
	}
}
