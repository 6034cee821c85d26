package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "seed of random choices; 0 picks one")
	roundsFlag = flag.Int("rounds", 1, "how often a test pauses, stops or cuts off the primary")
)

// kills is how often TestDisturbedPrimary kills: 5, or what KILLS says.
func kills(t *testing.T) int {
	count := 5
	if text := os.Getenv("KILLS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1 || count > 1000 {
			t.Fatalf("KILLS=%s: want a number from 1 to 1000", text)
		}
	}
	return count
}

// seeded is the test's source of random choices. It prints how to replay them; the schedule of the
// processes is not replayed.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay the choices: go test ./cluster -run '^%s$' -seed=%d", t.Name(), seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// disturbance is what happens to the primary, and its end.
type disturbance struct {
	name  string
	begin func(g *group, primary int)
	end   func(g *group, primary int)
	// runs: the process of the primary goes on, so it has to be alive all the time.
	runs bool
}

var (
	killed = disturbance{"kill -9", (*group).kill, (*group).start, false}
	paused = disturbance{"SIGSTOP", func(g *group, i int) { g.signal(i, syscall.SIGSTOP) },
		func(g *group, i int) { g.signal(i, syscall.SIGCONT) }, true}
	terminated = disturbance{"SIGTERM", (*group).terminate, (*group).start, false}
	isolated   = disturbance{"cut off", func(g *group, i int) { g.isolate(i, true) }, func(g *group, i int) { g.isolate(i, false) }, true}
	deaf       = disturbance{"deaf", func(g *group, i int) { g.deafen(i, true) }, func(g *group, i int) { g.deafen(i, false) }, true}
	mute       = disturbance{"mute", func(g *group, i int) { g.mute(i, true) }, func(g *group, i int) { g.mute(i, false) }, true}
)

// planned is a disturbance, and how often it happens.
type planned struct {
	disturbance
	count int
}

// TestDisturbedPrimary has all disturbances in one cluster, which is the short form of the tests
// below: the kills that KILLS says, and each of the others -rounds times.
func TestDisturbedPrimary(t *testing.T) {
	plan := []planned{{killed, kills(t)}}
	for _, d := range []disturbance{paused, terminated, isolated, deaf, mute} {
		plan = append(plan, planned{d, *roundsFlag})
	}
	disturb(t, plan...)
}

// isLong skips a test in the short form, in which other tests have to do.
func isLong(t *testing.T) {
	t.Helper()
	if *roundsFlag < 2 {
		t.Skip("a part of the long form: -rounds=2")
	}
}

// TestBackupReturns wants a backup that was killed under load to catch up under load.
func TestBackupReturns(t *testing.T) {
	isLong(t)
	g := newGroup(t, options{})
	p := newProbe(t, g)
	p.primary(g)
	l := newLoad(t, g, 4)
	l.begin(batchFull, 100*time.Millisecond)
	for round := range *roundsFlag {
		l.awaitCalls(g, 8)
		backup := (p.primary(g) + 1 + round%2) % replicas
		g.kill(backup)
		l.awaitCalls(g, 20, backup)
		begun := time.Now()
		g.start(backup)
		g.awaitCaughtUp(backup)
		t.Logf("replica %d caught up after %v", backup, time.Since(begun))
	}
	l.end()
	l.audit()
	g.settle(l)
	g.wantEqualDigests()
}

// TestPrimaryDiesWhileBackupReturns kills the primary when a backup that was down has just begun to
// fetch what it missed. The other backup has everything, so the two of them have to go on.
func TestPrimaryDiesWhileBackupReturns(t *testing.T) {
	g := newGroup(t, options{})
	p := newProbe(t, g)
	p.primary(g)
	l := newLoad(t, g, 4)
	l.begin(batchFull, 20*time.Millisecond)
	for round := range *roundsFlag {
		primary := p.primary(g)
		backup := (primary + 1 + round%2) % replicas
		g.kill(backup)
		l.awaitCalls(g, 60, backup)
		from, _ := g.figures(primary)
		g.start(backup)
		g.await("the backup fetches what it missed", func() bool {
			g.alive()
			f, ok := g.figures(backup)
			return ok && f.head >= from.commit
		})
		begun := time.Now()
		f, _ := g.figures(backup)
		g.kill(primary)
		l.awaitCalls(g, 4, primary)
		t.Logf("round %d: the backup was at op %d of %d; 4 batches after %v", round+1, f.executed, from.commit, time.Since(begun))
		g.start(primary)
		g.awaitCaughtUp(primary)
	}
	l.end()
	l.audit()
	g.settle(l)
	g.wantEqualDigests()
}

// The pauses of each writer after a batch. While a replica catches up there is less load, so that a
// long run does not fill the disk.
const (
	pauseBusy      = 100 * time.Millisecond
	pauseReturning = 2 * time.Second
)

// disturb does something to the primary under load, again and again, and ends it each time when
// another replica has taken over. Nothing that was acknowledged may be lost or doubled, every
// history has to be strictly serializable, and in the end all replicas have to have the same data.
// The times without an answer are measured and printed; they decide nothing.
func disturb(t *testing.T, plan ...planned) {
	random, seed := seeded(t)
	g := newGroup(t, options{})
	p := newProbe(t, g)
	p.primary(g)
	l := newLoad(t, g, 4)
	h := newHistory(t, g, 6, seed)
	official, own := newAsker(t, g, true), newAsker(t, g, false)
	var rows []string
	l.begin(batchFull, pauseBusy)
	for _, d := range plan {
		rows = append(rows, d.rounds(t, g, p, l, h, official, own, random))
	}
	l.end()
	l.audit()
	checkpoint := g.settle(l)
	digest := g.wantEqualDigests()
	t.Logf("%d transfers in full batches, %d calls judged; %d calls were given up, %d of them carried out; 0 lost, 0 doubled; "+
		"checkpoint op %d: %s", l.transfers(), h.judged, h.abandoned, h.taken, checkpoint, digest)
	t.Logf("| what happens to the primary | times | probe: median | longest | official client: median | longest | " +
		"our client: median | longest | returned: median | longest |")
	for _, row := range rows {
		t.Log(row)
	}
}

// rounds does one disturbance as often as planned, and returns the row of its times.
func (d planned) rounds(t *testing.T, g *group, p *probe, l *load, h *history, official, own *asker, random *rand.Rand) (row string) {
	t.Helper()
	var probed, officials, owns, returns []time.Duration
	for round := range d.count {
		h.begin()
		l.pause.Store(int64(pauseBusy))
		l.awaitCalls(g, 8)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		p.hurry(true)
		old := p.primary(g)
		begun := time.Now()
		d.begin(g, old)
		next := old
		var dead []int
		if !d.runs {
			dead = []int{old}
		}
		g.await(fmt.Sprintf("after %s of replica %d, another one answers", d.name, old), func() bool {
			g.alive(dead...)
			p.mu.Lock()
			defer p.mu.Unlock()
			next = p.replica
			return next != old && p.last.After(begun)
		})
		p.hurry(false)
		l.awaitCalls(g, 4, dead...)
		g.await("both clients are answered", func() bool { return official.since(begun) && own.since(begun) })
		ended := time.Now()
		officials, owns = append(officials, official.longest(begun, ended)), append(owns, own.longest(begun, ended))
		probed = append(probed, p.longest(begun, ended))
		l.pause.Store(int64(pauseReturning))
		d.end(g, old)
		g.awaitCaughtUp(old)
		returns = append(returns, time.Since(ended))
		h.end()
		t.Logf("round %d: %s: replica %d, then %d; without an answer: probe %v, official client %v, ours %v; caught up after %v",
			round+1, d.name, old, next, probed[round], officials[round], owns[round], returns[round])
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |", d.name, d.count, spread(probed), spread(officials), spread(owns), spread(returns))
}

// spread is median and longest.
func spread(all []time.Duration) string {
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%.2f s | %.2f s", sorted[len(sorted)/2].Seconds(), sorted[len(sorted)-1].Seconds())
}

// settle drives the cluster past a checkpoint and waits until all replicas have the same.
func (g *group) settle(l *load) (checkpointOp uint64) {
	g.t.Helper()
	before, _ := g.figures(0)
	for {
		// Each writer's small batches are a few ops, and a checkpoint comes every 896.
		l.begin(1, 0)
		l.awaitCalls(g, 400)
		l.end()
		if f := g.awaitEqual(); f.checkpoint > before.checkpoint {
			return f.checkpoint
		}
	}
}

// asker is a client that asks again and again, and notes the times of the answers.
type asker struct{ times }

func newAsker(t *testing.T, g *group, official bool) *asker {
	t.Helper()
	b, err := newBank(g.addresses(), official)
	if err != nil {
		t.Fatal(err)
	}
	a, c, stop, done := &asker{}, &closer{bank: b}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.LookupAccounts([]tb.Uint128{id(1 << 61)}); err != nil {
				return // it was closed
			}
			a.note(time.Now())
			if !pause(probeRest, stop) {
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		c.Close()
		<-done
	})
	return a
}
