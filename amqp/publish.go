package amqp

import (
	"errors"
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"ledger/accounting"
	"ledger/cdc"
)

// notTakenError says that the broker did not take a message: no queue is bound for it, or a queue
// is full. The session goes on.
type notTakenError struct{ text string }

func (e *notTakenError) Error() string { return e.text }

// publish publishes events and waits until the broker has confirmed them.
//
// done:  events that were taken, from the first on; 0 if the session has ended.
// error: the session has ended, or a notTakenError about the event behind done.
func (s *session) publish(events []accounting.ChangeEvent) (done int, err error) {
	o := s.options
	for i := range events {
		setEvent(&s.message, &events[i])
		if err := s.channel.Publish(o.Exchange, o.RoutingKey, true, false, s.message); err != nil {
			return 0, s.ended(err)
		}
	}
	done, err = s.confirmed(len(events))
	if ended := (*notTakenError)(nil); err != nil && !errors.As(err, &ended) {
		return 0, err
	}
	for len(s.returns) > 0 {
		returned := <-s.returns
		timestamp, readErr := cdc.Form().Timestamp(returned.Body)
		for i := range events[:done] {
			if readErr != nil || events[i].Timestamp == timestamp {
				done, err = i, s.unroutable(&returned)
				break
			}
		}
	}
	return done, err
}

func (s *session) unroutable(returned *amqp091.Return) error {
	return &notTakenError{fmt.Sprintf("the broker %s has no queue for a message of --publish-exchange=%s --publish-routing-key=%s (%s): "+
		"bind one, or give the exchange an alternate exchange", s.broker, returned.Exchange, returned.RoutingKey, returned.ReplyText)}
}

// save makes a timestamp the progress, and waits until the broker has confirmed it.
func (s *session) save(timestamp uint64) error {
	queue := s.options.progressQueue()
	if err := s.channel.Publish("", queue, true, false, progressMessage(timestamp, time.Now())); err != nil {
		return s.ended(err)
	}
	if _, err := s.confirmed(1); err != nil {
		return fmt.Errorf("saving the progress in the queue %s: %w", queue, err)
	}
	if len(s.returns) > 0 {
		<-s.returns
		return fmt.Errorf("the broker %s has lost the queue %s: it is declared again", s.broker, queue)
	}
	return nil
}

// confirmed waits for the confirms of the last count messages. Time does not count while the broker
// says that it is short of memory or disk.
//
// done:  messages that were taken, from the first on.
// error: as that of publish.
func (s *session) confirmed(count int) (done int, err error) {
	timer := time.NewTimer(s.options.Timeout)
	defer timer.Stop()
	isNacked := false
	for range count {
		var confirmation amqp091.Confirmation
		for isWaiting := true; isWaiting; {
			isOpen := true
			select {
			case confirmation, isOpen = <-s.confirms:
				isWaiting = false
			case <-timer.C:
				if !s.isBlocked.Load() {
					return 0, fmt.Errorf("the broker %s does not confirm messages within %v", s.broker, s.options.Timeout)
				}
			}
			if !isOpen {
				return 0, s.ended(amqp091.ErrClosed)
			}
			timer.Reset(s.options.Timeout)
		}
		isNacked = isNacked || !confirmation.Ack
		if !isNacked {
			done++
		}
	}
	if isNacked {
		return done, &notTakenError{fmt.Sprintf("the broker %s refuses a message (basic.nack): a queue behind --publish-exchange=%s "+
			"--publish-routing-key=%s is full or not available", s.broker, s.options.Exchange, s.options.RoutingKey)}
	}
	return done, nil
}

// ended is the reason for the end of the session, which is found instead of err if there is one.
func (s *session) ended(err error) error {
	select {
	case reason, ok := <-s.closed:
		if ok && reason != nil {
			err = reason
		}
	default:
	}
	return s.named(err)
}
