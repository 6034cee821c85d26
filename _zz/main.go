package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"ledger/sim"
)

func main() {
	from := flag.Uint64("from", 1, "")
	n := flag.Int("n", 100, "")
	short := flag.Bool("short", true, "")
	kind := flag.Uint64("kind", 0x1225, "")
	odds := flag.Int("odds", 6, "")
	workers := flag.Int("w", 1, "")
	minutes := flag.Float64("minutes", 8, "")
	flag.Parse()
	debug.SetGCPercent(200)
	var reached sim.MarksReached
	var lock sync.Mutex
	next := *from
	runs, failures := 0, 0
	start := time.Now()
	var wg sync.WaitGroup
	for range *workers {
		wg.Go(func() {
			for {
				lock.Lock()
				for *odds > 0 && rand.New(rand.NewPCG(next, *kind)).IntN(*odds) != 0 {
					next++
				}
				seed := next
				next++
				runs++
				if runs > *n || time.Since(start).Minutes() > *minutes {
					runs--
					lock.Unlock()
					return
				}
				lock.Unlock()
				result, err := sim.Run(sim.Options{Seed: seed, Several: true, ShortLives: *short, TraceLines: 1})
				lock.Lock()
				if err != nil {
					failures++
					text := err.Error()
					lines := strings.Split(text, "\n")
					fmt.Println(strings.Join(lines[:min(len(lines), 1)], "\n"))
					if strings.Contains(text, "panic") {
						for _, l := range lines {
							if strings.Contains(l, "/work/wt/SIM7") {
								fmt.Println("   ", strings.TrimSpace(l))
							}
						}
					}
				} else {
					reached.Add(&result.Marks)
				}
				lock.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Println(runs, "runs", failures, "failures, to seed", next, "in", time.Since(start).Round(time.Second))
	t := reached.Text(runs)
	for _, l := range strings.Split(t, "\n") {
		if strings.Contains(l, "lost") || strings.Contains(l, "replac") || strings.Contains(l, "recover") || strings.Contains(l, "data file") || strings.Contains(l, "acknowledges, and") || strings.Contains(l, "upgrade") || strings.Contains(l, "release") || strings.Contains(l, "key") || strings.Contains(l, "attack") || strings.Contains(l, "wrong program") {
			fmt.Println(l)
		}
	}
}
