package main

import "testing"

func TestRabbitStarts(t *testing.T) {
	r := newRabbit(t)
	t.Log(r.address())
	r.kill()
	r.start()
}
