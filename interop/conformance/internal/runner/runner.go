// Package runner carries out the steps of a corpus against a server, puts names in
// place of the server's timestamps, and compares replies.
package runner

import (
	"fmt"
	"sync"
	"time"

	"ledger/interop/conformance/internal/clock"
	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// A Sender sends requests to a server. Timestamps are plain numbers both ways.
type Sender interface {
	Send(*proto.Request) (proto.Reply, error)
}

// Runner carries out steps against one server.
type Runner struct {
	server Sender
	times  *clock.Table
	// PollFor is how long a poll goes on until it gives up.
	PollFor time.Duration
	// Sleep waits; tests replace it.
	Sleep func(time.Duration)
}

// New makes a runner for a server with an empty state.
func New(server Sender) *Runner {
	return &Runner{server: server, times: clock.NewTable(), PollFor: 10 * time.Second, Sleep: time.Sleep}
}

// pollEvery is the time between two tries of a poll.
const pollEvery = 100 * time.Millisecond

// pollStable is how many equal replies in a row end a poll that is being recorded.
const pollStable = 5

// Record carries out a step and fills in its replies, with names for timestamps.
func (r *Runner) Record(step *corpus.Step) error {
	switch step.Kind {
	case corpus.Sleep:
		r.Sleep(time.Duration(step.Milliseconds) * time.Millisecond)
		return nil
	case corpus.Poll:
		return r.recordPoll(&step.Exchange)
	}
	return r.inLanes(step, func(exchange *corpus.Exchange, after uint64) error {
		reply, complaint, err := r.exchange(&exchange.Request, nil, after)
		if err == nil && complaint != "" {
			err = fmt.Errorf("request %d: %s", exchange.Request.Number, complaint)
		}
		exchange.Reply = reply
		return err
	})
}

func (r *Runner) recordPoll(exchange *corpus.Exchange) error {
	var previous proto.Reply
	equal := 0
	for equal < pollStable {
		reply, complaint, err := r.exchange(&exchange.Request, nil, r.times.Latest())
		if err == nil && complaint != "" {
			err = fmt.Errorf("request %d: %s", exchange.Request.Number, complaint)
		}
		if err != nil {
			return err
		}
		if len(Differences(&exchange.Request, &previous, &reply)) == 0 {
			equal++
		} else {
			equal = 0
		}
		previous = reply
		r.Sleep(pollEvery)
	}
	exchange.Reply = previous
	return nil
}

// Replay carries out a step, compares the replies with those in the step, and
// returns a mismatch for each reply that differs. An error means that the server
// gave no reply.
func (r *Runner) Replay(step *corpus.Step) ([]*Mismatch, error) {
	switch step.Kind {
	case corpus.Sleep:
		r.Sleep(time.Duration(step.Milliseconds) * time.Millisecond)
		return nil, nil
	case corpus.Poll:
		return r.replayPoll(&step.Exchange)
	}
	var mutex sync.Mutex
	var mismatches []*Mismatch
	err := r.inLanes(step, func(exchange *corpus.Exchange, after uint64) error {
		mismatch, err := r.compare(exchange, after)
		if mismatch != nil {
			mutex.Lock()
			mismatches = append(mismatches, mismatch)
			mutex.Unlock()
		}
		return err
	})
	return mismatches, err
}

func (r *Runner) replayPoll(exchange *corpus.Exchange) ([]*Mismatch, error) {
	for waited := time.Duration(0); ; waited += pollEvery {
		mismatch, err := r.compare(exchange, r.times.Latest())
		if err != nil || mismatch == nil {
			return nil, err
		}
		if waited >= r.PollFor {
			return []*Mismatch{mismatch}, nil
		}
		r.Sleep(pollEvery)
	}
}

// compare sends one request; it returns nil when the reply is the expected one.
func (r *Runner) compare(exchange *corpus.Exchange, after uint64) (*Mismatch, error) {
	reply, complaint, err := r.exchange(&exchange.Request, &exchange.Reply, after)
	if err != nil {
		return nil, err
	}
	differences := Differences(&exchange.Request, &exchange.Reply, &reply)
	if complaint != "" {
		differences = append(differences, Difference{Row: -1, Field: complaint})
	}
	if len(differences) == 0 {
		return nil, nil
	}
	return &Mismatch{Request: &exchange.Request, Expected: &exchange.Reply, Actual: &reply,
		Differences: differences}, nil
}

// inLanes runs visit for every exchange of a call or of the lanes of a parallel
// step. Exchanges of one lane run one after the other; after is the latest
// timestamp that was assigned before, as far as the lane can know.
func (r *Runner) inLanes(step *corpus.Step, visit func(exchange *corpus.Exchange, after uint64) error) error {
	after := r.times.Latest()
	if step.Kind == corpus.Call {
		return visit(&step.Exchange, after)
	}
	errs := make([]error, len(step.Lanes))
	var wait sync.WaitGroup
	for i, lane := range step.Lanes {
		wait.Go(func() {
			after := after
			for j := range lane {
				if errs[i] = visit(&lane[j], after); errs[i] != nil {
					return
				}
				after = max(after, r.latestOf(&lane[j].Request))
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// latestOf is the timestamp of the last event of a request, if it is known.
func (r *Runner) latestOf(request *proto.Request) uint64 {
	for event := request.Events() - 1; event >= 0; event-- {
		name := proto.At(request.Number, event)
		if r.times.IsBound(name) {
			value, _ := r.times.Resolve(name)
			return value
		}
	}
	return 0
}

// exchange sends a request and names the timestamps in the reply. When expected is
// given, timestamps that are new in both get the expected name.
func (r *Runner) exchange(request *proto.Request, expected *proto.Reply, after uint64) (proto.Reply, string, error) {
	resolved, err := r.resolve(request)
	if err != nil {
		return proto.Reply{}, err.Error(), nil
	}
	reply, err := r.server.Send(resolved)
	if err != nil {
		return reply, "", err
	}
	complaint := r.name(request, &reply, expected, after)
	return reply, complaint, nil
}
