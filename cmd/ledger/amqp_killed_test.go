package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
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
		return "1000" // the kills come in the middle of a batch
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

// Goal: the progress may be in a quorum queue, which the broker can put on several members.
func testRabbitQuorum(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("quorum", "", nil)
	for last := uint64(10); last <= 30; last += 10 {
		moving(t, s, last-9, last)
		status, messages := publishing(t, r, s, "--publish-routing-key=quorum", "--progress-queue-type=quorum")
		if status != exitDone || !strings.Contains(messages, "10 events were written") {
			t.Fatalf("status %d: %s", status, messages)
		}
	}
	if ids := bodyIDs(t, c.take("quorum")); !isSequence(ids, 1, 30) {
		t.Errorf("%d events, want 1 to 30 in order", len(ids))
	}
	status, messages := publishing(t, r, s, "--publish-routing-key=quorum")
	if status != exitRefused || !strings.Contains(messages, "if it has other arguments, keep its last timestamp") {
		t.Errorf("a queue of another type: status %d: %s", status, messages)
	}
}

// Goal: a job that has nothing to publish notices that its connection has ended, and takes the lock
// again.
func testRabbitDisconnected(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("disconnected", "", nil)
	process, messages := publisher(t, r, s.port, "--publish-routing-key=disconnected")
	messages.says(t, "events behind timestamp 0 are published", 1)
	r.control("close_all_connections", "a test")
	messages.says(t, "the connection has ended: the broker "+r.address(), 1)
	messages.says(t, "events behind timestamp 0 are published", 2)
	moving(t, s, 1, 10)
	consuming(t, r).waitLength("disconnected", 10)
	asksToEnd(t, process, messages)
}

// Goal: a broker that is short of memory takes no messages, and the job waits for it, without
// publishing any again.
func testRabbitBlocked(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("blocked", "", nil)
	moving(t, s, 1, 100)
	alarm := func(name string) { r.control("eval", "rabbit_alarm:"+name+".") }
	alarm("set_alarm({{resource_limit, memory, node()}, []})")
	metrics := freeAddress(t)
	process, messages := publisher(t, r, s.port, "--publish-routing-key=blocked", "--amqp-timeout-seconds=1", "--metrics-address="+metrics)
	messages.says(t, "takes no messages", 1)
	start := lagSeconds(t, metrics)
	for lagSeconds(t, metrics) < start+3 { // three times the timeout, which does not count now
		time.Sleep(10 * time.Millisecond)
	}
	if _, page := page(metrics, "/metrics"); !strings.Contains(page, "ledger_cdc_lag_events 100\n") {
		t.Errorf("100 events wait, and the metrics are\n%s", page)
	}
	alarm("clear_alarm({resource_limit, memory, node()})")
	messages.says(t, "takes messages again", 1)
	c.waitLength("blocked", 100)
	asksToEnd(t, process, messages)
	if ids := bodyIDs(t, c.take("blocked")); !isSequence(ids, 1, 100) || strings.Contains(messages.String(), "the sink fails") {
		t.Errorf("%d events, want 1 to 100 once: %s", len(ids), messages)
	}
}

// lagSeconds is that of a job's metrics.
func lagSeconds(t *testing.T, address string) (seconds float64) {
	t.Helper()
	const name = "\nledger_cdc_lag_seconds "
	_, page := page(address, "/metrics")
	if _, err := fmt.Sscan(page[strings.Index(page, name)+len(name):], &seconds); err != nil {
		t.Fatalf("%v in the metrics\n%s", err, page)
	}
	return seconds
}

// Goal: a broker that does not answer is given up after --amqp-timeout-seconds, and no event is
// lost.
func testRabbitStopped(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("stopped", "", nil)
	process, messages := publisher(t, r, s.port, "--publish-routing-key=stopped", "--amqp-timeout-seconds=1")
	messages.says(t, "events behind timestamp 0 are published", 1)
	r.signal(syscall.SIGSTOP)
	moving(t, s, 1, 100)
	messages.says(t, "the sink fails", 3)
	r.signal(syscall.SIGCONT)
	messages.says(t, " are published", 2)
	c = consuming(t, r)
	c.waitLength("stopped", 100)
	asksToEnd(t, process, messages)
	if once, _ := onceInOrder(t, bodyIDs(t, c.take("stopped"))); once != 100 {
		t.Errorf("%d events, want 1 to 100 in order: %s", once, messages)
	}
}

// Goal: a server that does not answer is told of after --tigerbeetle-timeout-seconds, and waited
// for. A job that is asked to end meanwhile does.
func testRabbitServer(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("server", "", nil)
	moving(t, s, 1, 10)
	process, messages := publisher(t, r, s.port, "--publish-routing-key=server", "--tigerbeetle-timeout-seconds=1")
	c.waitLength("server", 10)
	s.signal(t, syscall.SIGSTOP)
	messages.says(t, "no answer within 1s", 2)
	s.signal(t, syscall.SIGCONT)
	moving(t, s, 11, 20)
	c.waitLength("server", 20)
	s.signal(t, syscall.SIGSTOP)
	messages.says(t, "no answer within 1s", 3)
	asksToEnd(t, process, messages)
	if ids := bodyIDs(t, c.take("server")); !isSequence(ids, 1, 20) {
		t.Errorf("%d events, want 1 to 20 in order", len(ids))
	}
}
