// Package patient keeps a client session for commands: it opens one when it is needed, and again
// after the server has ended it, and tells of a server that does not answer.
//
//	command --Do--> [Connection] --> session --> server
//	                     |
//	                     '--after 2 s--> a message, with what can be seen of the addresses
//
// In:     addresses, a cluster, and what to do with a session.
// Out:    the answer, or an Unanswered error; messages.
// Owns:   the session.
// Limits: one call of Do at a time.
// Faults: without an answer it waits until the timeout, or the end of the context.
// Source: specification, "Client wire protocol", 1.2 to 1.6.
package patient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/wire"
)

// LateAfter is the usual time without an answer, until a message.
const LateAfter = 2 * time.Second

// probeTimeout is the timeout of looking whether an address listens.
const probeTimeout = time.Second

// Connection is a session of type S. It is opened for the first call that needs it, and again after
// the server has ended it.
type Connection[S interface{ Close() }] struct {
	Options  client.Options
	Open     func(context.Context, client.Options) (S, error)
	Messages io.Writer
	Timeout  time.Duration // of a call; 0: none
	Late     time.Duration // without an answer, until a message

	current S
	isOpen  bool
}

// Do calls run with a session. It says so if no answer comes, and waits until the timeout or the
// end of ctx.
//
// error: run's own, or an *Unanswered.
func (c *Connection[S]) Do(ctx context.Context, run func(context.Context, S) error) error {
	outer := ctx
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	defer c.watch(ctx)()
	isSent := false
	err := func() error {
		if !c.isOpen {
			opened, err := c.Open(ctx, c.Options)
			if err != nil {
				return err
			}
			c.current, c.isOpen = opened, true
		}
		isSent = true
		return run(ctx, c.current)
	}()
	switch evicted := (*client.EvictedError)(nil); {
	case err == nil:
		return nil
	case outer.Err() != nil:
		return &Unanswered{Reason: "cancelled", IsSent: isSent}
	case errors.Is(err, context.DeadlineExceeded):
		return &Unanswered{Reason: fmt.Sprintf("no answer within %v: %s", c.Timeout, c.probe(context.Background())), IsSent: isSent}
	case errors.As(err, &evicted):
		c.Close()
		if evicted.IsRelease() {
			return &Unanswered{Reason: fmt.Sprintf("the server refuses clients of release %s with %s, and announces %s; "+
				"this program speaks %s to %s",
				evicted.Release, evicted.Reason, evicted.Announced, wire.ReleaseSpokenMin, wire.ReleaseCurrent), IsSent: isSent, IsFinal: true}
		}
		return &Unanswered{Reason: fmt.Sprintf("the server has ended the session: %s; explain %[1]s tells what to do", evicted.Reason),
			IsSent: isSent}
	case errors.Is(err, client.ErrClosed):
		c.Close()
		return &Unanswered{Reason: "the session has ended", IsSent: isSent}
	}
	return err
}

// Unanswered says that a call got no answer.
type Unanswered struct {
	Reason  string
	IsSent  bool // it may have taken effect, and may yet do so
	IsFinal bool // asking again does not help
}

func (e *Unanswered) Error() string { return e.Reason }

// Close ends the session, if there is one. The next call opens another.
func (c *Connection[S]) Close() {
	if c.isOpen {
		c.current.Close()
		c.isOpen = false
	}
}

// watch writes a message if ctx lasts for long before the returned function is called.
func (c *Connection[S]) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	timer := time.AfterFunc(c.Late, func() {
		found := c.probe(ctx)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			fmt.Fprintf(c.Messages, "no answer for %v: %s. Waiting for it\n", c.Late, found)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		cancel()
	}
}

// probe tells what can be seen of the servers without a session.
func (c *Connection[S]) probe(ctx context.Context) string {
	found := make([]string, len(c.Options.Addresses))
	var probes sync.WaitGroup
	for i, address := range c.Options.Addresses {
		probes.Go(func() { found[i] = probeAddress(ctx, address) })
	}
	probes.Wait()
	return strings.Join(found, ", ") + fmt.Sprintf("; a server of cluster %s is expected", c.Options.Cluster)
}

func probeAddress(ctx context.Context, address string) string {
	dialer := net.Dialer{Timeout: probeTimeout}
	link, err := dialer.DialContext(ctx, "tcp", address)
	name := (*net.DNSError)(nil)
	switch {
	case err == nil:
		_ = link.Close()
		return address + " accepts connections and does not answer (ledger ping tells why)"
	case errors.Is(err, unix.ECONNREFUSED):
		return "nobody listens at " + address
	case errors.As(err, &name):
		return fmt.Sprintf("the name of %s is unknown (%s)", address, name.Err)
	}
	return fmt.Sprintf("%s cannot be reached (%v)", address, errors.Unwrap(err))
}
