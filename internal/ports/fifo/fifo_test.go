package fifo

import "testing"

// Goal: values come out in order over many laps, and neither a full nor an empty queue gives in.
func TestQueue(t *testing.T) {
	q := New[int](5)
	next, want := 0, 0
	for lap := range 100 {
		for q.Count() < uint32(lap%6) {
			q.Push(next)
			next++
		}
		for q.Count() > uint32(lap%3) {
			if peeked := *q.Peek(); peeked != want {
				t.Fatalf("peeked %d, want %d", peeked, want)
			}
			if got := q.Pop(); got != want {
				t.Fatalf("popped %d, want %d", got, want)
			}
			want++
		}
	}
	for q.Count() > 0 {
		q.Pop()
	}
	if !panics(func() { q.Pop() }) || !panics(func() { q.Peek() }) {
		t.Error("an empty queue gave a value")
	}
	for i := range 5 {
		q.Push(i)
	}
	if !panics(func() { q.Push(5) }) {
		t.Error("a full queue took a value")
	}
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}
