// Package coro lets a stage run long work as straight-line code in bounded steps.
//
// A stage is a step function: it must not block, and one step must be short. The execution of a
// request may need a page that is not in memory, or a generation that is not compacted yet, deep
// inside a query. A Coroutine runs such code on a stack of its own. Wait gives control back to the
// stage's Step, and the next Resume continues behind it. Nothing runs in parallel, and nothing is
// scheduled. A Coroutine is a state machine whose state is a stack, so the simulator steps it like
// any other.
//
// In:     Resume, from the stage's Step. The first one must be on the thread that will make all
// others. Restart, for a stage that drops what it was doing.
// Out:    Resume returns when the body waits, breathes or has ended.
// Owns:   the body's stack.
// Limits: a switch costs about 0.2 µs there and back; no allocation after New.
// Faults: a panic of the body comes out of Resume.
package coro

import "iter"

// Coroutine is a body that can be suspended.
type Coroutine struct {
	body  func(*Coroutine)
	next  func() (reason, bool)
	stop  func()
	yield func(reason) bool
	last  reason
	ended bool
	again bool // the next Resume unwinds the body and starts it anew
}

type reason uint8

const (
	reasonWait reason = iota + 1
	reasonBreathe
)

// stopped is the panic that unwinds a body for good, and restarted the one that unwinds it to its
// start.
type stopped struct{}
type restarted struct{}

// New prepares a coroutine; body starts with the first Resume.
func New(body func(*Coroutine)) *Coroutine {
	return &Coroutine{body: body}
}

// Resume runs the body until it waits, breathes or ends. more tells whether the body could go on at
// once, because it only took a breath. It is false if the body waits for an event or has ended.
func (c *Coroutine) Resume() (more bool) {
	if c.ended {
		return false
	}
	if c.next == nil {
		c.next, c.stop = iter.Pull(c.sequence)
	}
	why, ok := c.next()
	if !ok {
		c.ended = true
		return false
	}
	c.last = why
	return why == reasonBreathe
}

func (c *Coroutine) sequence(yield func(reason) bool) {
	c.yield = yield
	for c.run() {
	}
}

// run runs the body once. It returns true if the body was unwound for another run.
func (c *Coroutine) run() (again bool) {
	defer func() {
		switch r := recover().(type) {
		case nil, stopped:
		case restarted:
			again = true
		default:
			panic(r)
		}
	}()
	c.body(c)
	return false
}

// Wait suspends the body until the next Resume. Every caller loops around it and checks its
// condition each time.
func (c *Coroutine) Wait() { c.suspend(reasonWait) }

// Breathe suspends the body because its step has lasted long enough.
func (c *Coroutine) Breathe() { c.suspend(reasonBreathe) }

func (c *Coroutine) suspend(why reason) {
	if !c.yield(why) {
		panic(stopped{})
	}
	if c.again {
		c.again = false
		panic(restarted{})
	}
}

// Restart makes the next Resume unwind the body, wherever it is suspended, and start it anew.
func (c *Coroutine) Restart() { c.again = c.next != nil && !c.ended }

// Stop unwinds a suspended body. The coroutine cannot be resumed afterwards. Crashes of the
// simulator use it.
func (c *Coroutine) Stop() {
	c.ended = true
	if c.stop != nil {
		c.stop()
	}
}
