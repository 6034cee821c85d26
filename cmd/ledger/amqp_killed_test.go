package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

var (
	rabbitEvents = flag.Uint64("rabbit-events", 5000, "events of TestRabbit/Killed")
	rabbitKills  = flag.Uint64("rabbit-kills", 1, "how often TestRabbit/Killed kills the broker, and the job")
	rabbitWait   = flag.Duration("rabbit-wait", time.Minute, "most that TestRabbit/Killed waits for events between two kills")
)

// arrivals is what a consumer has got that connects again whenever the broker is there.
type arrivals struct {
	once, duplicates atomic.Uint64
	gaps             atomic.Uint64
}

// consume consumes a queue until ctx ends. Deliveries are acknowledged in groups, so a broker that
// is killed delivers some again.
func (a *arrivals) consume(ctx context.Context, t *testing.T, r *rabbit, queue string) {
	const group = 500
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		connection, err := amqp091.Dial(r.url())
		if err != nil {
			continue
		}
		channel, err := connection.Channel()
		if err == nil {
			err = channel.Qos(2*group, 0, false)
		}
		var deliveries <-chan amqp091.Delivery
		if err == nil {
			deliveries, err = channel.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
		}
		for err == nil {
			delivery, isOpen := <-deliveries
			if !isOpen {
				break
			}
			id, once := bodyIDs(t, []amqp091.Delivery{delivery})[0], a.once.Load()
			switch {
			case id == once+1:
				a.once.Store(id)
			case id <= once:
				a.duplicates.Add(1)
			default:
				a.gaps.Add(1)
			}
			if delivery.DeliveryTag%group == 0 {
				err = delivery.Ack(true)
			}
		}
		_ = connection.CloseDeadline(time.Now().Add(time.Second))
	}
}

// waitFor waits until so many events have arrived.
func (a *arrivals) waitFor(t *testing.T, least uint64, messages *transcript) {
	t.Helper()
	for deadline := time.Now().Add(*rabbitWait); a.once.Load() < least; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d events have arrived, want %d: %s", a.once.Load(), least, messages)
		}
	}
}

// Goal: a broker and a job that are killed at any moment, again and again, leave no gap, and a
// consumer that drops what is not behind the last timestamp gets each event once and in order.
func testRabbitKilled(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.exchange("killed")
	c.queue("killed", "killed", nil)
	ctx, cancel := context.WithCancel(t.Context())
	var a arrivals
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		a.consume(ctx, t, r, "killed")
	}()
	defer func() {
		cancel()
		<-consumed
	}()
	const atATime = 20_000
	for first := uint64(1); first <= *rabbitEvents; first += atATime {
		moving(t, s, first, min(first+atATime-1, *rabbitEvents))
	}
	start := time.Now()
	flags := []string{"--publish-exchange=killed", "--event-count-max=" + eventCountMax()}
	process, messages := publisher(t, r, s.port, flags...)
	for round := range *rabbitKills {
		a.waitFor(t, *rabbitEvents*(2*round+1)/(2**rabbitKills+1), messages)
		failures := strings.Count(messages.String(), "the sink fails")
		r.kill()
		messages.says(t, "the sink fails", failures+1)
		r.start()
		a.waitFor(t, *rabbitEvents*(2*round+2)/(2**rabbitKills+1), messages)
		killed(process)
		process, messages = publisher(t, r, s.port, flags...)
	}
	a.waitFor(t, *rabbitEvents, messages)
	took := time.Since(start)
	asksToEnd(t, process, messages)
	if a.gaps.Load() > 0 {
		t.Errorf("%d events came before one that is older", a.gaps.Load())
	}
	t.Logf("%d events in %v, %d duplicates, broker and job killed %d times each", a.once.Load(), took, a.duplicates.Load(), *rabbitKills)
}

// eventCountMax makes several batches of the events between two kills.
func eventCountMax() string {
	if *rabbitEvents < 100_000 {
		return "100"
	}
	return "2730"
}

// asksToEnd ends a job as an operator does.
func asksToEnd(t *testing.T, process *exec.Cmd, messages *transcript) {
	t.Helper()
	if err := process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, process); status != exitDone || !strings.Contains(messages.String(), " events were written; the last timestamp is ") {
		t.Errorf("status %d: %s", status, messages)
	}
}
