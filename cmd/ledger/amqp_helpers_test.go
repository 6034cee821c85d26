package main

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// consumer is a connection of the test with a broker.
type consumer struct {
	t       *testing.T
	channel *amqp091.Channel
}

// consuming connects, and begins without the queues that the job left behind in another test.
func consuming(t *testing.T, r *rabbit) *consumer {
	t.Helper()
	connection, err := amqp091.Dial(r.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	c := &consumer{t, channel}
	return c
}

// fresh is consuming without the progress of another test.
func fresh(t *testing.T, r *rabbit) *consumer {
	t.Helper()
	c := consuming(t, r)
	if _, err := c.channel.QueueDelete("tigerbeetle.internal.progress.0", false, false, false); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *consumer) exchange(name string) {
	c.t.Helper()
	if err := c.channel.ExchangeDeclare(name, "fanout", true, false, false, false, nil); err != nil {
		c.t.Fatal(err)
	}
}

// queue declares a queue, and binds it to an exchange if there is a name of one.
func (c *consumer) queue(name, exchange string, arguments amqp091.Table) {
	c.t.Helper()
	_, err := c.channel.QueueDeclare(name, true, false, false, false, arguments)
	if err == nil && exchange != "" {
		err = c.channel.QueueBind(name, "", exchange, false, nil)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// take takes all messages out of a queue.
func (c *consumer) take(queue string) (list []amqp091.Delivery) {
	c.t.Helper()
	for {
		delivery, isFound, err := c.channel.Get(queue, true)
		if err != nil {
			c.t.Fatal(err)
		}
		if !isFound {
			return list
		}
		list = append(list, delivery)
	}
}

// length is the number of messages in a queue.
func (c *consumer) length(queue string) int {
	c.t.Helper()
	q, err := c.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return q.Messages
}

// waitLength waits until a queue has so many messages.
func (c *consumer) waitLength(queue string, least int) {
	c.t.Helper()
	for deadline := time.Now().Add(endsWithin); c.length(queue) < least; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("the queue %s has %d messages, want %d", queue, c.length(queue), least)
		}
	}
}

// bodyIDs are the transfers of messages.
func bodyIDs(t *testing.T, list []amqp091.Delivery) []uint64 {
	t.Helper()
	var text strings.Builder
	for _, delivery := range list {
		text.Write(delivery.Body)
		text.WriteByte('\n')
	}
	return transferIDs(t, text.String())
}

// publishing runs a job that ends when there are no more events.
func publishing(t *testing.T, r *rabbit, s *served, flags ...string) (status int, messages string) {
	t.Helper()
	arguments := []string{"amqp", "--addresses=" + s.port, "--host=" + r.address(), "--follow=false"}
	status, stdout, stderr := ended(t, nil, append(arguments, flags...)...)
	if stdout != "" {
		t.Errorf("stdout has %s", stdout)
	}
	return status, stderr
}

// transcript is what a process has said so far.
type transcript struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// says waits until a process has said something so many times.
func (l *transcript) says(t *testing.T, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); strings.Count(l.String(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q %d times: %s", text, times, l)
		}
	}
}

// publisher starts a job that follows events.
func publisher(t *testing.T, r *rabbit, address string, flags ...string) (process *exec.Cmd, messages *transcript) {
	t.Helper()
	return publisherTo(t, []*rabbit{r}, address, flags...)
}

// publisherTo is publisher with several brokers.
func publisherTo(t *testing.T, brokers []*rabbit, address string, flags ...string) (process *exec.Cmd, messages *transcript) {
	t.Helper()
	process = command(nil, append([]string{"amqp", "--addresses=" + address, "--host=" + hosts(brokers), "--idle-interval-ms=1"}, flags...)...)
	messages = &transcript{}
	process.Stderr = messages
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	return process, messages
}

// hosts is a list of brokers for --host.
func hosts(brokers []*rabbit) string {
	var list []string
	for _, r := range brokers {
		list = append(list, r.address())
	}
	return strings.Join(list, ",")
}

func killed(process *exec.Cmd) {
	_ = process.Process.Kill()
	_ = process.Wait()
}

// onceInOrder drops what a consumer drops that compares an event with the last one, and tells how
// many are left: 1 to once, in order.
func onceInOrder(t *testing.T, ids []uint64) (once uint64, duplicates int) {
	t.Helper()
	for _, id := range ids {
		switch {
		case id == once+1:
			once = id
		case id <= once:
			duplicates++
		default:
			t.Fatalf("event %d comes behind %d: there is a gap", id, once)
		}
	}
	return once, duplicates
}
