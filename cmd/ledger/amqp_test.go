package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"ledger/wire"
)

// TestRabbit has the tests with a real broker, which they share: its start takes seconds. Each uses
// a virtual cluster of its own: a data file, whose events go to a queue of their own.
func TestRabbit(t *testing.T) {
	certificates := newCertificates(t)
	r := newRabbit(t, certificates.configuration()...)
	t.Run("Messages", func(t *testing.T) { testRabbitMessages(t, r) })
	t.Run("Progress", func(t *testing.T) { testRabbitProgress(t, r) })
	t.Run("Refused", func(t *testing.T) { testRabbitRefused(t, r) })
	t.Run("TLS", func(t *testing.T) { testRabbitTLS(t, r, certificates) })
	t.Run("Unroutable", func(t *testing.T) { testRabbitUnroutable(t, r) })
	t.Run("FullQueue", func(t *testing.T) { testRabbitFullQueue(t, r) })
	t.Run("Standby", func(t *testing.T) { testRabbitStandby(t, r) })
	t.Run("Server", func(t *testing.T) { testRabbitServer(t, r) })
	t.Run("Quorum", func(t *testing.T) { testRabbitQuorum(t, r) })
	t.Run("Disconnected", func(t *testing.T) { testRabbitDisconnected(t, r) })
	t.Run("Blocked", func(t *testing.T) { testRabbitBlocked(t, r) })
	t.Run("Stopped", func(t *testing.T) { testRabbitStopped(t, r) })
	t.Run("Killed", func(t *testing.T) { testRabbitKilled(t, r) })
	second := r.another()
	t.Run("Brokers", func(t *testing.T) { testRabbitBrokers(t, r, second) })
	members := []*rabbit{r, second, r.another()}
	t.Run("Cluster", func(t *testing.T) { testRabbitCluster(t, members) })
	t.Run("Leader", func(t *testing.T) { testRabbitLeader(t, members) })
}

// Goal: a message has the headers and properties of the reference, with their types, and the body
// of docs/cdc.md. The next run goes on behind the last one; --timestamp-last publishes again.
func testRabbitMessages(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.exchange("messages")
	c.queue("messages", "messages", nil)
	for last := uint64(300); last <= 900; last += 300 {
		moving(t, s, last-299, last)
		status, messages := publishing(t, r, s, "--publish-exchange=messages", "--publish-routing-key=key", "--event-count-max=100")
		if status != exitDone || !strings.Contains(messages, "300 events were written; the last timestamp is ") {
			t.Fatalf("status %d: %s", status, messages)
		}
		if length := c.length("messages"); length != int(last) {
			t.Fatalf("the queue has %d messages, want %d", length, last)
		}
	}
	list := c.take("messages")
	if ids := bodyIDs(t, list); !isSequence(ids, 1, 900) {
		t.Errorf("%d events, want 1 to 900 in order", len(ids))
	}
	first := list[0]
	headers := amqp091.Table{"event_type": "single_phase", "ledger": int64(1), "transfer_code": int32(1), "debit_account_code": int32(1),
		"credit_account_code": int32(1)}
	var event struct{ Timestamp, Type string }
	if err := json.Unmarshal(first.Body, &event); err != nil || event.Type != "single_phase" || len(event.Timestamp) != 19 {
		t.Errorf("the body is %s (%v)", first.Body, err)
	}
	if !reflect.DeepEqual(first.Headers, headers) || first.AppId != "tigerbeetle" || first.ContentType != "application/json" ||
		first.DeliveryMode != amqp091.Persistent || fmt.Sprint(first.Timestamp.Unix()) != event.Timestamp[:10] || first.RoutingKey != "key" {
		t.Errorf("the message is %+v, want headers %+v", first, headers)
	}
	for last, want := range map[string]int{"0": 900, event.Timestamp: 899} {
		status, messages := publishing(t, r, s, "--publish-exchange=messages", "--timestamp-last="+last)
		if status != exitDone || c.length("messages") != want {
			t.Errorf("behind %s: status %d, %d messages: %s", last, status, c.length("messages"), messages)
		}
		_ = c.take("messages")
	}
	c.queue("direct", "", nil)
	status, messages := publishing(t, r, s, "--publish-routing-key=direct", "--timestamp-last=0", "--verbose")
	if status != exitDone || c.length("direct") != 900 || !strings.Contains(messages, "900 events are confirmed") {
		t.Errorf("status %d, %d messages in the queue of the default exchange: %s", status, c.length("direct"), messages)
	}
}

// Goal: the two queues are those of the reference, and the progress of each goes on with the other.
func testRabbitProgress(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("progress", "", nil)
	const name = "tigerbeetle.internal.progress.0"
	arguments := amqp091.Table{"x-overflow": "drop-head", "x-single-active-consumer": true, "x-max-length": uint32(1),
		"x-max-length-bytes": uint32(0)}
	c.queue(name, "", arguments) // as the reference does
	moving(t, s, 1, 10)
	publish := func(headers amqp091.Table) {
		t.Helper()
		if err := c.channel.Publish("", name, true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Headers: headers}); err != nil {
			t.Fatal(err)
		}
		c.waitLength(name, 1)
	}
	if status, messages := publishing(t, r, s, "--publish-routing-key=progress"); status != exitDone {
		t.Fatalf("status %d: %s", status, messages)
	}
	list := c.take("progress")
	var event struct{ Timestamp int64 }
	for i, want := range []int{9, 4} {
		text := strings.ReplaceAll(string(list[len(list)-1-want].Body[:40]), `"`, "")
		if _, err := fmt.Sscanf(text, "{timestamp:%d", &event.Timestamp); err != nil {
			t.Fatal(err)
		}
		publish(amqp091.Table{"release": "0.17.99", "timestamp": event.Timestamp, "x-plugin": true})
		if status, messages := publishing(t, r, s, "--publish-routing-key=progress"); status != exitDone || c.length("progress") != want {
			t.Errorf("%d: status %d, %d messages behind %d, want %d: %s", i, status, c.length("progress"), event.Timestamp, want, messages)
		}
		_ = c.take("progress")
	}
	saved := c.take(name)
	if len(saved) != 1 || len(saved[0].Body) != 0 || saved[0].DeliveryMode != amqp091.Persistent || len(saved[0].Headers) != 2 ||
		saved[0].Headers["release"] != wire.ReleaseCurrent.String() {
		t.Fatalf("the progress is %+v", saved)
	}
	if timestamp, ok := saved[0].Headers["timestamp"].(int64); !ok || timestamp <= event.Timestamp {
		t.Errorf("the progress is %v", saved[0].Headers)
	}
	for _, headers := range []amqp091.Table{nil, {"timestamp": "1"}, {"timestamp": int64(-1)}} {
		publish(headers)
		status, messages := publishing(t, r, s, "--publish-routing-key=progress")
		if status != exitRefused || !strings.Contains(messages, "give the last timestamp that arrived as --timestamp-last") {
			t.Errorf("%v: status %d: %s", headers, status, messages)
		}
	}
}

// Goal: what a broker does not accept ends a job at its start, with the value and the way out.
func testRabbitRefused(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("refused", "", nil)
	for _, test := range []struct{ flag, want string }{
		{"--publish-exchange=nowhere", "--publish-exchange=nowhere: the broker " + r.address() + " has no such exchange"},
		{"--vhost=other", "--vhost=other: the broker "},
		{"--user=nobody", "--user=nobody: the broker "},
		{"--password=wrong", "--user=guest: the broker "},
		{"--tls-ca-file=" + newCertificates(t).authority, "does not speak TLS there"},
	} {
		status, messages := publishing(t, r, s, "--publish-routing-key=refused", test.flag)
		if status != exitRefused || !strings.Contains(messages, test.want) {
			t.Errorf("%s: status %d: %s, want %q", test.flag, status, messages, test.want)
		}
	}
	c.queue("tigerbeetle.internal.progress.0", "", amqp091.Table{"x-max-length": uint32(7)})
	status, messages := publishing(t, r, s, "--publish-routing-key=refused")
	if status != exitRefused || !strings.Contains(messages, "keep its last timestamp for --timestamp-last, and delete it") {
		t.Errorf("a queue with other arguments: status %d: %s", status, messages)
	}
}

// Goal: events that have no queue stop the job until there is one, and none is lost.
func testRabbitUnroutable(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.exchange("unroutable")
	moving(t, s, 1, 500)
	process, messages := publisher(t, r, s.port, "--publish-exchange=unroutable", "--event-count-max=100")
	messages.says(t, "has no queue for a message of --publish-exchange=unroutable", 2)
	c.queue("unroutable", "unroutable", nil)
	c.waitLength("unroutable", 500)
	killed(process)
	if ids := bodyIDs(t, c.take("unroutable")); !isSequence(ids, 1, 500) {
		t.Errorf("%d events, want 1 to 500 in order", len(ids))
	}
}

// Goal: a full queue that refuses messages stops the job until there is room, and none is lost.
func testRabbitFullQueue(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("full", "", amqp091.Table{"x-max-length": int32(50), "x-overflow": "reject-publish"})
	moving(t, s, 1, 120)
	process, messages := publisher(t, r, s.port, "--publish-routing-key=full", "--event-count-max=1")
	messages.says(t, "refuses a message (basic.nack)", 1)
	var ids []uint64
	for len(ids) < 120 && t.Context().Err() == nil {
		ids = append(ids, bodyIDs(t, c.take("full"))...)
	}
	killed(process)
	if !isSequence(ids, 1, 120) {
		t.Errorf("%d events, want 1 to 120 in order", len(ids))
	}
}

// Goal: a second job waits until the first one ends, and goes on behind it. With a timestamp of its
// own it does not wait.
func testRabbitStandby(t *testing.T, r *rabbit) {
	s, c := harness(t, formatted(t)), fresh(t, r)
	c.queue("standby", "", nil)
	metrics := freeAddress(t)
	first, messages := publisher(t, r, s.port, "--publish-routing-key=standby")
	messages.says(t, "events behind timestamp 0 are published", 1)
	moving(t, s, 1, 200)
	second, waiting := publisher(t, r, s.port, "--publish-routing-key=standby", "--metrics-address="+metrics)
	waiting.says(t, "on standby until it ends", 1)
	if _, page := page(metrics, "/metrics"); !strings.Contains(page, "ledger_cdc_standby_jobs 1\n") ||
		!strings.Contains(page, "ledger_cdc_writing_jobs 0\n") {
		t.Errorf("on standby, the metrics are\n%s", page)
	}
	c.waitLength("standby", 200)
	if status, messages := publishing(t, r, s, "--publish-routing-key=standby", "--timestamp-last=0"); status != exitRefused ||
		!strings.Contains(messages, "--timestamp-last=0: another job publishes the events of cluster 0: end it first") {
		t.Errorf("status %d: %s", status, messages)
	}
	killed(first)
	moving(t, s, 201, 400)
	c.waitLength("standby", 400)
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(time.Millisecond) {
		_, page := page(metrics, "/metrics")
		if strings.Contains(page, "ledger_cdc_lag_events 0\n") && strings.Contains(page, "ledger_cdc_lag_seconds 0\n") &&
			strings.Contains(page, "ledger_cdc_writing_jobs 1\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with all events written, the metrics are\n%s", page)
		}
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, second); status != exitDone {
		t.Errorf("status %d: %s", status, waiting)
	}
	list := bodyIDs(t, c.take("standby"))
	if once, duplicates := onceInOrder(t, list); once != 400 {
		t.Errorf("%d events and %d duplicates, want 1 to 400 in order: %v", once, duplicates, list)
	}
}
