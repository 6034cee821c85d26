package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// arrived waits for so many messages in the queue of a broker, takes them, and gives their events.
func arrived(t *testing.T, r *rabbit, queue string, least int) []uint64 {
	t.Helper()
	c := consuming(t, r)
	c.waitLength(queue, least)
	return bodyIDs(t, c.take(queue))
}

// written waits until a job has saved that so many events are confirmed.
func written(t *testing.T, metrics string, least uint64) {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(time.Millisecond) {
		count := uint64(0)
		_, text := page(metrics, "/metrics")
		if _, value, isThere := strings.Cut(text, "\nledger_cdc_written_events "); isThere {
			if _, err := fmt.Sscan(value, &count); err != nil {
				t.Fatalf("%v in the metrics\n%s", err, text)
			}
		}
		if count >= least {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events are written, want %d", count, least)
		}
	}
}

// Goal: two brokers that share nothing. When the one ends, the job goes on with the other, and says
// where the events before are. Back on the first, it publishes what that one does not have, so each
// broker has a sequence of events without a gap, from the first one that it has got. A job that
// starts goes on behind the progress of the broker that it reaches.
func testRabbitBrokers(t *testing.T, first, second *rabbit) {
	s, brokers := harness(t, formatted(t)), []*rabbit{first, second}
	for _, r := range brokers {
		fresh(t, r).queue("brokers", "", nil)
	}
	metrics := freeAddress(t)
	process, messages := publisherTo(t, brokers, s.port, "--publish-routing-key=brokers", "--metrics-address="+metrics)
	moving(t, s, 1, 100)
	written(t, metrics, 100)
	first.kill()
	moving(t, s, 101, 200)
	if ids := arrived(t, second, "brokers", 100); !isSequence(ids, 101, 200) {
		t.Errorf("the second broker has %v, want 101 to 200", ids)
	}
	written(t, metrics, 200)
	messages.says(t, "the broker "+second.address()+" has no progress of this job", 1)

	first.start()
	second.kill()
	moving(t, s, 201, 300)
	written(t, metrics, 400) // the second hundred is written twice
	if ids := arrived(t, first, "brokers", 300); !isSequence(ids, 1, 300) {
		t.Errorf("the first broker has %v, want 1 to 300", ids)
	}
	messages.says(t, " again\n", 1)
	asksToEnd(t, process, messages)

	second.start()
	first.kill()
	moving(t, s, 301, 400)
	status, _, stderr := ended(t, nil, "amqp", "--addresses="+s.port, "--host="+hosts(brokers), "--follow=false",
		"--publish-routing-key=brokers")
	if ids := arrived(t, second, "brokers", 200); status != exitDone || !isSequence(ids, 201, 400) {
		t.Errorf("status %d, the second broker has %v, want 201 to 400: %s", status, ids, stderr)
	}
	first.start()
}

// Goal: the members of a cluster, with the queues on all of them. When the member with the job's
// connection is killed in the middle, the job finds its progress at another one, and no event is
// missing or out of order. So does a job that starts.
func testRabbitCluster(t *testing.T, brokers []*rabbit) {
	first := brokers[0]
	_ = fresh(t, first)
	for _, r := range brokers[1:] {
		for _, command := range []string{"stop_app", "reset", "join_cluster " + first.node(), "start_app"} {
			r.control(strings.Fields(command)...)
		}
	}
	s, last := harness(t, formatted(t)), brokers[len(brokers)-1]
	consuming(t, first).queue("cluster", "", amqp091.Table{"x-queue-type": "quorum"})
	moving(t, s, 1, 3000)
	flags := []string{"--publish-routing-key=cluster", "--progress-queue-type=quorum", "--event-count-max=100"}
	process, messages := publisherTo(t, brokers, s.port, flags...)
	consuming(t, last).waitLength("cluster", 500)
	first.kill()
	messages.says(t, "the sink fails", 1)
	moving(t, s, 3001, 3100)
	c := consuming(t, last)
	c.waitLength("cluster", 3100)
	asksToEnd(t, process, messages)
	status, _, stderr := ended(t, nil, append([]string{"amqp", "--addresses=" + s.port, "--host=" + hosts(brokers), "--follow=false"},
		flags...)...)
	if status != exitDone || !strings.Contains(stderr, "0 events were written") {
		t.Errorf("a job that starts: status %d: %s", status, stderr)
	}
	once, duplicates := onceInOrder(t, bodyIDs(t, c.take("cluster")))
	if once != 3100 || strings.Contains(messages.String(), "events behind timestamp 0 are published, those") ||
		strings.Contains(messages.String(), "no progress of this job") {
		t.Errorf("%d events, want 1 to 3100 in order: %s", once, messages)
	}
	t.Logf("%d events arrived, %d of them twice", once, duplicates)
	first.start()
}

// Goal: a quorum queue whose leader is gone refuses messages, and the job goes on when it has
// another leader. A channel that was opened meanwhile refuses them for ever (RabbitMQ 3.10).
func testRabbitLeader(t *testing.T, brokers []*rabbit) {
	s, survivor, leader := harness(t, formatted(t)), brokers[1], brokers[2]
	_ = fresh(t, survivor)
	consuming(t, leader).queue("leader", "", amqp091.Table{"x-queue-type": "quorum"})
	moving(t, s, 1, 10)
	if status, messages := publishing(t, survivor, s, "--publish-routing-key=leader"); status != exitDone {
		t.Fatalf("status %d: %s", status, messages)
	}
	brokers[0].kill()
	leader.kill()
	moving(t, s, 11, 20)
	process, messages := publisher(t, survivor, s.port, "--publish-routing-key=leader")
	messages.says(t, "refuses a message (basic.nack)", 2)
	brokers[0].start()
	c := consuming(t, survivor)
	c.waitLength("leader", 20)
	asksToEnd(t, process, messages)
	if once, _ := onceInOrder(t, bodyIDs(t, c.take("leader"))); once != 20 {
		t.Errorf("%d events, want 1 to 20 in order: %s", once, messages)
	}
}
