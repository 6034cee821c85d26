package library

import "time"

func guess() {
	time.Sleep(1)
}

func guessElsewhere(done func() bool) {
	go func() {
		time.Sleep(1)
	}()
	for !done() {
		time.Sleep(1)
	}
	for range 3 {
		time.Sleep(1)
	}
}
