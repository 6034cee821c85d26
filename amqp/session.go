package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const (
	// heartbeat is the interval of heartbeats. A broker that is silent for three of them has failed.
	heartbeat = 10 * time.Second
	// lockerPause is the time between two looks at the locker queue of a job on standby. Each look
	// is an error in the log of the broker.
	lockerPause = 2 * time.Second
	// backWithin is the time in which a broker puts a message back whose consumer has ended.
	backWithin = 500 * time.Millisecond
	// countedWithin is that of a quorum queue, whose members ask each other.
	countedWithin = 2 * time.Second
	// closeWithin bounds the time that the end of a connection takes.
	closeWithin = 2 * time.Second
)

// session is a connection to a broker, with a channel on which messages are confirmed. It ends with
// the first error.
type session struct {
	options    *Options
	broker     string
	connection *amqp091.Connection
	channel    *amqp091.Channel
	confirms   chan amqp091.Confirmation
	returns    chan amqp091.Return
	closed     chan *amqp091.Error
	isBlocked  atomic.Bool // the broker is short of memory or disk, and takes nothing
	message    amqp091.Publishing
}

// refusedError is an error that comes back until somebody changes the options or the broker.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func refused(format string, arguments ...any) error {
	return &refusedError{fmt.Errorf(format, arguments...)}
}

// connect opens a session with a broker. The end of ctx ends the connecting, not the session.
func connect(ctx context.Context, o *Options, broker string) (*session, error) {
	host, _, err := net.SplitHostPort(broker)
	if err != nil {
		return nil, err
	}
	s := &session{options: o, broker: broker}
	stop := func() bool { return true }
	config := amqp091.Config{Vhost: o.VirtualHost, Heartbeat: heartbeat,
		SASL:       []amqp091.Authentication{&amqp091.PlainAuth{Username: o.User, Password: o.Password}},
		Properties: amqp091.Table{"product": "ledger", "connection_name": "ledger amqp, cluster " + o.Cluster.String()},
		Dial: func(network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: o.Timeout}
			socket, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { _ = socket.Close() })
			return socket, socket.SetDeadline(time.Now().Add(o.Timeout)) // the library removes it behind the handshake
		}}
	url := "amqp://" + broker
	if o.TLS != nil {
		url = "amqps://" + broker
		config.TLSClientConfig = o.TLS.Clone()
		if config.TLSClientConfig.ServerName == "" {
			config.TLSClientConfig.ServerName = host
		}
	}
	s.connection, err = amqp091.DialConfig(url, config)
	stop()
	if err != nil {
		return nil, s.dialError(err)
	}
	if err := s.openChannel(); err != nil {
		s.close()
		return nil, err
	}
	go s.watchBlocked(s.connection.NotifyBlocked(make(chan amqp091.Blocking, 1)))
	return s, nil
}

// openChannel opens the channel on which messages are confirmed, in place of the one before.
func (s *session) openChannel() (err error) {
	if s.channel != nil {
		_ = s.channel.Close() // it may have ended
	}
	if s.channel, err = s.connection.Channel(); err == nil {
		err = s.channel.Confirm(false)
	}
	if err != nil {
		return s.named(err)
	}
	// Every message may be returned and is confirmed, so that the library never waits for us.
	s.confirms = s.channel.NotifyPublish(make(chan amqp091.Confirmation, s.options.EventsMax))
	s.returns = s.channel.NotifyReturn(make(chan amqp091.Return, s.options.EventsMax))
	s.closed = s.channel.NotifyClose(make(chan *amqp091.Error, 1))
	return nil
}

// watchBlocked tells of a broker that takes nothing, until the connection ends.
func (s *session) watchBlocked(changes <-chan amqp091.Blocking) {
	for change := range changes {
		s.isBlocked.Store(change.Active)
		if change.Active {
			fmt.Fprintf(s.options.Messages, "the broker %s takes no messages (%s); they wait until it does\n", s.broker, change.Reason)
		} else {
			fmt.Fprintf(s.options.Messages, "the broker %s takes messages again\n", s.broker)
		}
	}
}

// dialError says what to do about an error of connecting.
func (s *session) dialError(err error) error {
	o := s.options
	certificate, noTLS, answer := (*tls.CertificateVerificationError)(nil), tls.RecordHeaderError{}, (*amqp091.Error)(nil)
	switch {
	case errors.As(err, &certificate):
		return refused("the certificate of the broker %s is not accepted (%w): name its authority with --tls-ca-file, or the name in it with "+
			"--tls-server-name", s.broker, certificate.Err)
	case errors.As(err, &noTLS):
		return refused("the broker %s does not speak TLS there (%w): leave out --tls, or name its TLS port, usually %s", s.broker, err, PortTLS)
	case errors.As(err, &answer) && (answer.Code == amqp091.NotAllowed || answer.Code == amqp091.InvalidPath),
		errors.Is(err, amqp091.ErrVhost):
		return refused("--vhost=%s: the broker %s does not give it to the user %s (%w): rabbitmqctl list_vhosts, set_permissions", o.VirtualHost,
			s.broker, o.User, err)
	case errors.Is(err, amqp091.ErrCredentials), errors.As(err, &answer) && answer.Code == amqp091.AccessRefused:
		return refused("--user=%s: the broker %s does not accept it with this password (%w)", o.User, s.broker, err)
	case errors.Is(err, amqp091.ErrSASL):
		return refused("the broker %s does not offer the PLAIN mechanism for user and password (%w): add it to auth_mechanisms", s.broker, err)
	}
	return fmt.Errorf("the broker %s: %w", s.broker, err)
}

// checkExchange makes sure that the exchange is there. The default exchange always is.
func (s *session) checkExchange() error {
	o := s.options
	if o.Exchange == "" {
		return nil
	}
	err := s.channel.ExchangeDeclarePassive(o.Exchange, "", false, false, false, false, nil)
	switch codeOf(err) {
	case amqp091.NotFound:
		return refused("--publish-exchange=%s: the broker %s has no such exchange in the virtual host %s: declare it, and bind queues to it",
			o.Exchange, s.broker, o.VirtualHost)
	case amqp091.AccessRefused:
		return refused("--publish-exchange=%s: the user %s may not see it (%w): rabbitmqctl set_permissions", o.Exchange, o.User, err)
	}
	return s.named(err)
}

// lock takes the locker queue, which the broker deletes when this connection ends.
func (s *session) lock() (isOurs bool, err error) {
	channel, err := s.connection.Channel() // an error closes the channel
	if err != nil {
		return false, s.named(err)
	}
	_, err = channel.QueueDeclare(s.options.lockerQueue(), false, true, true, false, lockerArguments())
	switch codeOf(err) {
	case amqp091.ResourceLocked:
		return false, nil
	case amqp091.AccessRefused, amqp091.PreconditionFailed:
		return false, s.queueRefused(s.options.lockerQueue(), err)
	}
	if err != nil {
		return false, s.named(err)
	}
	return true, s.named(channel.Close())
}

// progress declares the progress queue, and reads from it the timestamp up to which events are
// confirmed. With isIgnored, it is not read.
func (s *session) progress(isIgnored bool) (timestamp uint64, isFound bool, err error) {
	queue := s.options.progressQueue()
	declared, err := s.channel.QueueDeclare(queue, true, false, false, false, progressArguments(s.options.QueueType))
	if err != nil {
		if code := codeOf(err); code == amqp091.AccessRefused || code == amqp091.PreconditionFailed {
			return 0, false, s.queueRefused(queue, err)
		}
		return 0, false, s.named(err)
	}
	if isIgnored {
		return 0, false, nil
	}
	// A count of 0 does not say that there is no message. It may be on its way back from a job that
	// was killed while it read it, and a member of a cluster that was no leader of a quorum queue
	// until now counts 0 for some seconds. So the queue is asked for a message in any case.
	within := backWithin
	switch {
	case declared.Messages > 0:
		within = s.options.Timeout
	case s.options.QueueType == QueueQuorum:
		within = countedWithin
	}
	timestamp, isFound, err = s.replaced(queue, within)
	if err == nil && !isFound && declared.Messages > 0 {
		err = fmt.Errorf("the broker %s does not deliver the message in the queue %s", s.broker, queue)
	}
	return timestamp, isFound, err
}

// replaced reads the message in the progress queue, and puts another one in its place: a quorum
// queue counts the deliveries of a message, and drops it at a limit. The message is consumed,
// because a quorum queue with a single active consumer does not take basic.get. isFound is false if
// none comes in time.
func (s *session) replaced(queue string, within time.Duration) (timestamp uint64, isFound bool, err error) {
	reading, err := s.connection.Channel()
	if err != nil {
		return 0, false, s.named(err)
	}
	deliveries, err := reading.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		if codeOf(err) == amqp091.AccessRefused {
			return 0, false, s.queueRefused(queue, err)
		}
		return 0, false, s.named(err)
	}
	delivery := amqp091.Delivery{}
	select {
	case delivery, isFound = <-deliveries:
	case <-time.After(within):
		return 0, false, s.named(reading.Close()) // it would get the next message otherwise
	}
	if !isFound {
		return 0, false, s.named(amqp091.ErrClosed)
	}
	if timestamp, err = progressOf(delivery.Headers); err != nil {
		return 0, false, refused("the message in the queue %s %w: give the last timestamp that arrived as --timestamp-last", queue, err)
	}
	if err := s.save(timestamp); err != nil {
		if codeOf(err) == amqp091.AccessRefused {
			return 0, false, s.queueRefused(queue, err)
		}
		return 0, false, err
	}
	if err = delivery.Ack(false); err == nil {
		err = reading.Close()
	}
	return timestamp, true, s.named(err)
}

func (s *session) queueRefused(queue string, err error) error {
	return refused("the queue %s cannot be declared by the user %s at the broker %s (%w): rabbitmqctl set_permissions; if it has other "+
		"arguments, keep its last timestamp for --timestamp-last, and delete it", queue, s.options.User, s.broker, err)
}

// named adds the broker to an error.
func (s *session) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the broker %s: %w", s.broker, err)
}

// codeOf is the code of a broker's answer; 0 if err is none.
func codeOf(err error) int {
	answer := (*amqp091.Error)(nil)
	if !errors.As(err, &answer) || !answer.Server {
		return 0
	}
	return answer.Code
}

// close ends the connection, and with it the lock.
func (s *session) close() { _ = s.connection.CloseDeadline(time.Now().Add(closeWithin)) }
