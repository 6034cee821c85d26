package repl

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

// session is a client, with what its server told of its limits.
type session interface {
	database
	BodyBytesMax() uint32
	Close()
}

type clientSession struct{ *client.Client }

func (s clientSession) BodyBytesMax() uint32 { return s.Session().BodyBytesMax() }

// openClient opens a session of the protocol.
func openClient(ctx context.Context, options client.Options) (session, error) {
	c, err := client.New(ctx, options)
	if err != nil {
		return nil, err
	}
	return clientSession{c}, nil
}

const (
	lateAfter    = 2 * time.Second // without an answer, until a message
	probeTimeout = time.Second     // of looking whether an address listens
)

// connection is the session of a shell. It is opened for the first statement that needs it, and
// again after the server has ended it.
type connection struct {
	options  client.Options
	open     func(context.Context, client.Options) (session, error)
	messages io.Writer
	timeout  time.Duration // of a statement; 0: none
	late     time.Duration
	current  session
}

// do calls run with a session. It says so if no answer comes, and waits until the timeout or the
// end of ctx.
func (c *connection) do(ctx context.Context, run func(context.Context, session) error) error {
	outer := ctx
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	defer c.watch(ctx)()
	isSent := false
	err := func() error {
		if c.current == nil {
			opened, err := c.open(ctx, c.options)
			if err != nil {
				return err
			}
			c.current = opened
		}
		isSent = true
		return run(ctx, c.current)
	}()
	switch evicted := (*client.EvictedError)(nil); {
	case err == nil:
		return nil
	case outer.Err() != nil:
		return &unansweredError{"cancelled", isSent}
	case errors.Is(err, context.DeadlineExceeded):
		return &unansweredError{fmt.Sprintf("no answer within %v: %s", c.timeout, c.probe(context.Background())), isSent}
	case errors.As(err, &evicted):
		c.close()
		return &unansweredError{fmt.Sprintf("the server has ended the session: %s; explain %s tells what to do", evicted.Reason, evicted.Reason),
			isSent}
	case errors.Is(err, client.ErrClosed):
		c.close()
		return &unansweredError{"the session has ended", isSent}
	}
	return err
}

// unansweredError says that a statement got no answer, and whether it may have taken effect.
type unansweredError struct {
	reason string
	isSent bool
}

func (e *unansweredError) Error() string { return e.reason }

func (c *connection) close() {
	if c.current != nil {
		c.current.Close()
		c.current = nil
	}
}

// watch writes a message if ctx lasts for long before the returned function is called.
func (c *connection) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	timer := time.AfterFunc(c.late, func() {
		found := c.probe(ctx)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			fmt.Fprintf(c.messages, "no answer for %v: %s. Waiting for it\n", c.late, found)
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
func (c *connection) probe(ctx context.Context) string {
	found := make([]string, len(c.options.Addresses))
	var probes sync.WaitGroup
	for i, address := range c.options.Addresses {
		probes.Go(func() { found[i] = probeAddress(ctx, address) })
	}
	probes.Wait()
	return strings.Join(found, ", ") + fmt.Sprintf("; a server of cluster %s is expected", c.options.Cluster)
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

// eventsMax is the number of objects that one request of o takes, and rowsMax the number of rows
// that a reply has room for.
func eventsMax(s session, o wire.Operation) uint32 { return wire.EventsMax(o, s.BodyBytesMax()) }

func rowsMax(s session, o wire.Operation) uint32 { return wire.RowsMax(o, s.BodyBytesMax()) }
