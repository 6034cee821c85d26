// Package workload makes up requests. The same profile and seed against servers
// that behave alike give the same requests.
package workload

import (
	"fmt"
	"math/rand/v2"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// Limits of the protocol with the default message size of 1 MiB.
const (
	maxBatch   = 8189
	maxChanges = 2730
)

// longTimeout is a timeout, in seconds, that never ends during a run.
const longTimeout = 1_000_000

// Generator makes up the steps of a workload.
type Generator struct {
	*rand.Rand
	model    *model
	mix      mix
	profile  Profile
	number   int // of the last request
	requests int // wanted
	queue    []*corpus.Step
	// lanes are the models of the lanes of parallel steps.
	lanes []*model
	// lane is the ledger that requests must stay in, or 0.
	lane uint32
	// script is a profile's own counter.
	script int
	// clock is the last plain timestamp used for imported events.
	clock uint64
	// batchPending are the pending transfers of the batch being made up.
	batchPending []proto.Transfer
}

// New makes a generator for a profile.
func New(name string, seed uint64, requests int) (*Generator, error) {
	profile, ok := findProfile(name)
	if !ok {
		return nil, fmt.Errorf("there is no profile %q", name)
	}
	return &Generator{
		Rand:     rand.New(rand.NewPCG(seed, 0x6c65646765720000)),
		model:    newModel(1),
		profile:  profile,
		requests: requests,
		clock:    1000,
	}, nil
}

// Next returns the next step to carry out, or nil at the end. Its replies are to be
// filled in and given to Observe before the next call.
func (g *Generator) Next() *corpus.Step {
	for len(g.queue) == 0 {
		if g.number >= g.requests {
			return nil
		}
		g.profile.next(g)
	}
	step := g.queue[0]
	g.queue = g.queue[1:]
	return step
}

// Observe learns from the replies to a step.
func (g *Generator) Observe(step *corpus.Step) {
	switch step.Kind {
	case corpus.Call, corpus.Poll:
		g.model.learn(&step.Exchange.Request, &step.Exchange.Reply)
		if step.Exchange.Request.Op == proto.LookupAccounts {
			for _, lane := range g.lanes { // Accounts of lanes are also looked up outside them.
				lane.learn(&step.Exchange.Request, &step.Exchange.Reply)
			}
		}
	case corpus.Parallel:
		for i, lane := range step.Lanes {
			for j := range lane {
				g.lanes[i].learn(&lane[j].Request, &lane[j].Reply)
			}
		}
	}
}

// call queues a request.
func (g *Generator) call(request proto.Request) {
	g.queue = append(g.queue, &corpus.Step{Exchange: corpus.Exchange{Request: g.numbered(request)}})
}

func (g *Generator) numbered(request proto.Request) proto.Request {
	g.number++
	request.Number = g.number
	return request
}

func (g *Generator) sleep(milliseconds int) {
	g.queue = append(g.queue, &corpus.Step{Kind: corpus.Sleep, Milliseconds: milliseconds})
}

// chance is true with the given probability.
func (g *Generator) chance(probability float64) bool { return g.Float64() < probability }

// between returns a number from low to high, both included.
func (g *Generator) between(low, high int) int { return low + g.IntN(high-low+1) }

// pick returns one of the values.
func pick[T any](g *Generator, values ...T) T { return values[g.IntN(len(values))] }

// weights are things to choose from, with how often to choose each.
type weights []weight

type weight struct {
	name string
	n    int
}

func (g *Generator) choose(all weights) string {
	total := 0
	for _, w := range all {
		total += w.n
	}
	n := g.IntN(total)
	for _, w := range all {
		if n -= w.n; n < 0 {
			return w.name
		}
	}
	panic("unreachable")
}

// link joins events into chains: set marks the event i as linked to the next one.
func (g *Generator) link(events int, set func(i int)) {
	for i := 0; i < events; i++ {
		if !g.chance(g.mix.chains) {
			continue
		}
		length := g.between(2, 6)
		if g.chance(0.05) {
			length = events
		}
		for end := min(i+length-1, events-1); i < end; i++ {
			set(i)
		}
	}
	if events > 0 && g.mix.chains > 0 && g.chance(0.04) {
		set(events - 1) // An open chain.
	}
}
