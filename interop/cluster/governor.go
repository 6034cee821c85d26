package cluster

import "sync"

// lagRest is the lag of a replica, in ops, at which clients rest. A log has 1024 slots, and a
// replica that is a whole log behind cannot catch up without state sync.
const lagRest = 400

// governor lets the clients rest while a replica is far behind, whether it runs or not.
type governor struct {
	mu     sync.Mutex
	turned *sync.Cond
	rests  bool
	ended  bool
	isOff  bool // clients never rest
}

// watch looks at the replicas until the test ends.
func (v *governor) watch(g *group) {
	v.turned = sync.NewCond(&v.mu)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var executed [replicas]uint64
		for pause(pollLasting, stop) {
			newest, last := uint64(0), ^uint64(0)
			for i := range replicas {
				if f, ok := g.figures(i); ok {
					executed[i] = f.executed
					newest = max(newest, f.head)
				}
				last = min(last, executed[i])
			}
			v.set(newest > last+lagRest && !v.isOff, false)
		}
	}()
	g.t.Cleanup(func() {
		close(stop)
		<-done
		v.end()
	})
}

func (v *governor) set(rests, ended bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rests, v.ended = rests, v.ended || ended
	v.turned.Broadcast()
}

// end lets all clients go on for good: the test is over.
func (v *governor) end() { v.set(false, true) }

// wait lets a client go on at once, or when no replica is far behind any more.
func (v *governor) wait() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.rests && !v.ended {
		v.turned.Wait()
	}
}

// isResting tells whether clients rest now.
func (v *governor) isResting() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rests
}
