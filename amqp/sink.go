package amqp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"ledger/accounting"
	"ledger/feed"
)

const (
	// PortPlain is the usual port of brokers, PortTLS that with TLS.
	PortPlain = "5672"
	PortTLS   = "5671"

	// grace is the time that a batch in flight has to be confirmed when the job is asked to end. Its
	// events would be published again by the next job otherwise.
	grace = 2 * time.Second
	// overrideWithin is the time that a job with a timestamp of its own waits for the locker queue:
	// long enough for the broker to notice that a killed job is gone.
	overrideWithin = 10 * time.Second
)

// Sink publishes events. It implements feed.SinkOf.
type Sink struct {
	ctx     context.Context // of the job
	options Options
	next    int // index of the broker that is tried next
	session *session
	// saved is the progress. The job has told the caller, or the caller has told the job, to go on
	// behind it; within a batch it may be ahead of the caller.
	saved        uint64
	hasStarted   bool // a session was open before
	hasSaved     bool // progress of this job
	hasRefused   bool // the broker did not take the event behind saved
	stopsWaiting func() bool
}

// NewSink makes a sink, which connects when it is started. It is given up when ctx ends, after some
// time for the batch in flight.
func NewSink(ctx context.Context, options Options) *Sink { return &Sink{ctx: ctx, options: options} }

// Start connects, and waits for brokers that do not answer, and for the end of another job.
//
// returns: the timestamp behind which the job goes on.
// error:   options that the broker refuses, or the end of ctx.
func (s *Sink) Start() (last uint64, err error) {
	err = feed.Retry(s.ctx, s.options.Messages, s.connected)
	if elsewhere := (*feed.ElsewhereError)(nil); errors.As(err, &elsewhere) {
		err = nil
	}
	return s.saved, err
}

// Write publishes the events that are not confirmed yet, and saves the progress.
//
// error: some may have been published; they are again by the next call.
func (s *Sink) Write(events []accounting.ChangeEvent, _ uint64) error {
	if err := s.connected(); err != nil {
		return err
	}
	for len(events) > 0 && events[0].Timestamp <= s.saved {
		events = events[1:]
	}
	for len(events) > 0 {
		batch := events
		if s.hasRefused { // one event tells whether the cause is gone, without duplicates of the others
			batch = events[:1]
			// A channel of RabbitMQ keeps the leader that a quorum queue had when the channel first
			// published to it. If that member is gone, all messages of the channel are refused, for ever.
			if err := s.session.openChannel(); err != nil {
				s.drop()
				return err
			}
		}
		done, err := s.session.publish(batch)
		if done > 0 {
			if saveErr := s.session.save(batch[done-1].Timestamp); saveErr != nil {
				s.drop()
				return saveErr
			}
			s.saved, s.hasSaved, s.hasRefused = batch[done-1].Timestamp, true, false
		}
		notTaken := (*notTakenError)(nil)
		switch {
		case errors.As(err, &notTaken):
			s.hasRefused = true
			return err
		case err != nil:
			s.drop()
			return err
		}
		events = events[done:]
	}
	return nil
}

// Idle implements feed.Idler: a connection that has ended is replaced, so that the lock is kept.
func (s *Sink) Idle() error { return s.connected() }

// Close ends the connection. Another job may take over at once.
func (s *Sink) Close() { s.drop() }

// drop gives up the session, if there is one.
func (s *Sink) drop() {
	if s.session != nil {
		s.stopsWaiting()
		s.session.close()
		s.session = nil
		s.options.changed(Connecting)
	}
}

// connected makes sure that there is a session that has the lock.
//
// error: a feed.ElsewhereError if the progress is another one than it was.
func (s *Sink) connected() error {
	if s.session != nil && !s.session.channel.IsClosed() {
		return nil
	}
	if s.session != nil {
		fmt.Fprintf(s.options.Messages, "the connection has ended: %v\n", s.session.ended(amqp091.ErrClosed))
		s.drop()
	}
	broker := s.options.Brokers[s.next]
	session, err := connect(s.ctx, &s.options, broker)
	if err != nil {
		s.next = (s.next + 1) % len(s.options.Brokers)
		return s.judged(err)
	}
	s.session = session
	s.stopsWaiting = context.AfterFunc(s.ctx, func() {
		time.AfterFunc(grace, func() { _ = session.connection.CloseDeadline(time.Now()) })
	})
	position, err := s.position()
	if err != nil {
		s.drop()
		s.next = (s.next + 1) % len(s.options.Brokers)
		return s.judged(err)
	}
	s.options.changed(Publishing)
	again := ""
	if position < s.saved {
		again = fmt.Sprintf(", those up to %d again", s.saved)
	}
	fmt.Fprintf(s.options.Messages, "connected with the broker %s; events behind timestamp %d are published%s\n", broker, position, again)
	s.hasStarted = true
	if position != s.saved {
		s.saved = position
		return &feed.ElsewhereError{Last: position}
	}
	return nil
}

// judged makes an error final that comes back, unless the options were right before: then somebody
// is changing the broker.
func (s *Sink) judged(err error) error {
	if wrong := (*refusedError)(nil); errors.As(err, &wrong) && !s.hasStarted {
		return feed.Final(err)
	}
	return err
}

// position takes the lock and finds the timestamp behind which events are to be published.
func (s *Sink) position() (uint64, error) {
	if err := s.session.checkExchange(); err != nil {
		return 0, err
	}
	if err := s.waitForLock(); err != nil {
		return 0, err
	}
	isOverridden := s.options.TimestampLast != nil && !s.hasSaved
	timestamp, isFound, err := s.session.progress(isOverridden)
	switch {
	case err != nil:
		return 0, err
	case isOverridden:
		return *s.options.TimestampLast, nil
	case !isFound:
		s.sayLost()
		return s.saved, nil // 0, or what a broker has confirmed
	}
	return timestamp, nil
}

// sayLost tells of a broker without the progress of a job that had some.
func (s *Sink) sayLost() {
	if !s.hasStarted || s.saved == 0 {
		return
	}
	fmt.Fprintf(s.options.Messages, "the broker %s has no progress of this job. If it is no member of the cluster of the broker before, "+
		"that one alone has the events up to timestamp %d, the last one that was confirmed\n", s.session.broker, s.saved)
}

// waitForLock waits until no other job has the locker queue.
func (s *Sink) waitForLock() error {
	since := time.Now()
	for isTold := false; ; {
		isOurs, err := s.session.lock()
		if isOurs || err != nil {
			return err
		}
		if s.options.TimestampLast != nil && !s.hasSaved && time.Since(since) > overrideWithin {
			return refused("--timestamp-last=%d: another job publishes the events of cluster %s: end it first, or leave out the flag to wait "+
				"for its end", *s.options.TimestampLast, s.options.Cluster)
		}
		if !isTold {
			isTold = true
			s.options.changed(Standby)
			fmt.Fprintf(s.options.Messages, "another job publishes the events of cluster %s (it has the queue %s): on standby until it ends\n",
				s.options.Cluster, s.options.lockerQueue())
		}
		select {
		case <-time.After(lockerPause):
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}
