package sim

// event is something that happens at a virtual time.
type event struct {
	dueNs uint64
	order uint64 // of creation: breaks ties
	of    *agenda
	do    func()
}

// agenda is the events of one machine, of its disk and of its connections, among those of the
// world.
type agenda struct {
	*events
	count int // of them that are yet to happen
}

// events is a heap of what is yet to happen.
type events struct {
	heap  []event
	order uint64
	nowNs uint64
}

// agenda makes one without events.
func (q *events) agenda() *agenda { return &agenda{events: q} }

// after schedules do. Of events at the same time, the one that was scheduled first goes first.
func (a *agenda) after(delayNs uint64, do func()) {
	q := a.events
	a.count++
	q.order++
	q.heap = append(q.heap, event{q.nowNs + delayNs, q.order, a, do})
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.before(i, up) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

func (q *events) before(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.dueNs < b.dueNs || a.dueNs == b.dueNs && a.order < b.order
}

// nextNs is the time of the first event, or the end of time if there is none.
func (q *events) nextNs() uint64 {
	if len(q.heap) == 0 {
		return ^uint64(0)
	}
	return q.heap[0].dueNs
}

// runDue runs all events that are due and returns their number.
func (q *events) runDue() (count int) {
	for len(q.heap) > 0 && q.heap[0].dueNs <= q.nowNs {
		do := q.pop()
		do()
		count++
	}
	return count
}

func (q *events) pop() func() {
	do := q.heap[0].do
	q.heap[0].of.count--
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		small := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.before(child, small) {
				small = child
			}
		}
		if small == i {
			return do
		}
		q.heap[i], q.heap[small] = q.heap[small], q.heap[i]
		i = small
	}
}
