package replica

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ledger/config"
	"ledger/events"
	"ledger/internal/ports"
)

// fakeNames is a name server whose answers a test decides.
type fakeNames struct {
	questions chan string
	answers   chan []netip.Addr // nil: no such host
	calls     atomic.Int32
}

// find ignores ctx, as a resolver that hangs does.
func (f *fakeNames) find(_ context.Context, host string) ([]netip.Addr, error) {
	f.calls.Add(1)
	f.questions <- host
	if found := <-f.answers; found != nil {
		return found, nil
	}
	return nil, errors.New("no such host")
}

// newTestResolver is the resolver of replica 1 of three.
func newTestResolver(t *testing.T, addresses string, log *events.Log) (r *resolver, names *fakeNames, wakes chan struct{}) {
	t.Helper()
	list, err := config.ParseAddresses(addresses, 6)
	if err != nil {
		t.Fatal(err)
	}
	names, wakes = &fakeNames{questions: make(chan string, 16), answers: make(chan []netip.Addr)}, make(chan struct{}, 16)
	r, err = newResolver(list, 1, names.find, log, func() { wakes <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r, names, wakes
}

func poll(t *testing.T, r *resolver) ports.NameAnswer {
	t.Helper()
	var out [6]ports.NameAnswer
	if count := r.Poll(out[:]); count != 1 {
		t.Fatalf("%d answers, want 1", count)
	}
	if again := r.Poll(out[1:]); again != 0 {
		t.Fatalf("%d answers once more", again)
	}
	return out[0]
}

var testIPs = []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("2001:db8::7%eth0")}

// Goal: numeric addresses are known at once, and nobody is asked for them.
func TestResolveNumeric(t *testing.T) {
	r, names, _ := newTestResolver(t, "10.0.0.1:3001,3002,[2001:db8::5]:3003", nil)
	for replica, want := range map[uint8]string{0: "10.0.0.1:3001", 2: "[2001:db8::5]:3003"} {
		r.Resolve(replica, 5)
		answer := poll(t, r)
		if got := events.Peer(answer.Address).String(); !answer.OK || answer.Replica != replica || answer.Attempt != 5 || got != want {
			t.Errorf("replica %d: %+v, address %s, want %s", replica, answer, got, want)
		}
	}
	if names.calls.Load() != 0 {
		t.Error("a name server is asked for a number")
	}
}

// Goal: a name is asked for anew at each question, and its addresses take turns. A wake follows
// each answer.
func TestResolveNames(t *testing.T) {
	r, names, wakes := newTestResolver(t, "db0.example,3002,db2.example:4000", nil)
	for attempt, want := range []string{"10.0.0.7:4000", "[2001:db8::7]:4000", "10.0.0.7:4000"} {
		r.Resolve(2, uint64(attempt))
		if host := <-names.questions; host != "db2.example" {
			t.Fatalf("it asks for %q", host)
		}
		if count := r.Poll(make([]ports.NameAnswer, 6)); count != 0 {
			t.Fatalf("%d answers before there is one", count)
		}
		names.answers <- testIPs
		<-wakes
		answer := poll(t, r)
		if got := events.Peer(answer.Address).String(); !answer.OK || answer.Attempt != uint64(attempt) || got != want {
			t.Errorf("attempt %d: %+v, address %s, want %s", attempt, answer, got, want)
		}
	}
}

// Goal: a name server that hangs holds up neither another name nor the caller. It is asked once at
// a time, and its answer, when it comes, is for the latest question.
func TestResolveHangs(t *testing.T) {
	r, names, wakes := newTestResolver(t, "db0.example:3001,3002,db2.example:4000", nil)
	for attempt := range uint64(1000) {
		r.Resolve(0, attempt)
	}
	if host := <-names.questions; host != "db0.example" {
		t.Fatalf("it asks for %q", host)
	}
	// One lookup hangs, and one of the other name is answered. The channel of answers is shared, so
	// the answer may reach either of them: the other one then hangs.
	r.Resolve(2, 7)
	if host := <-names.questions; host != "db2.example" {
		t.Fatalf("it asks for %q", host)
	}
	if calls := names.calls.Load(); calls != 2 {
		t.Fatalf("%d lookups are under way, want one of each name", calls)
	}
	names.answers <- testIPs[:1]
	<-wakes
	if answer := poll(t, r); answer.Replica == 0 && answer.Attempt != 999 || answer.Replica == 2 && answer.Attempt != 7 || !answer.OK {
		t.Errorf("the answer is %+v", answer)
	}
	r.close()
	close(names.answers)
}

// Goal: a name without an address is an answer as well, and one line that says what to do, which
// does not come again for each question.
func TestResolveUnknownName(t *testing.T) {
	var text strings.Builder
	log := events.New(&text, events.FormatText)
	r, names, wakes := newTestResolver(t, "db0.example,3002,3003", log)
	for attempt := range uint64(3) {
		r.Resolve(0, attempt)
		<-names.questions
		names.answers <- nil
		<-wakes
		if answer := poll(t, r); answer.OK || answer.Attempt != attempt {
			t.Errorf("the answer is %+v", answer)
		}
	}
	if !log.Close(time.Minute) {
		t.Fatal("the log did not end")
	}
	want := `replica 0: its host "db0.example" in --addresses has no address: no such host: correct the name`
	if strings.Count(text.String(), want) != 1 {
		t.Errorf("the log says: %s", text.String())
	}
}

// Goal: an address that no other machine can use is refused with its value and the way out.
func TestResolveZone(t *testing.T) {
	list, err := config.ParseAddresses("[fe80::1%eth0]:3001,3002", 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newResolver(list, 1, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "fe80::1%eth0") {
		t.Errorf("the error is %v", err)
	}
}
