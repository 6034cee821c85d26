package net

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	_ "example/ring"
)

type stage struct {
	done  chan bool
	known map[uint64]bool
}

func (s *stage) step() {
	go func() { s.done <- true }()
	select {
	case <-s.done:
	}
	<-s.done

	for known := range s.known {
		fmt.Println(time.Now(), rand.Uint64(), known)
	}
	println(os.Args)
	for range []error{fmt.Errorf("an error is no output")} {
		_ = s.known[1]
	}
}
