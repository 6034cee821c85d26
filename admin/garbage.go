package admin

import (
	"net/http"
	"runtime"
	runtimemetrics "runtime/metrics"
	"sync"
)

// garbageBytesMax is what connections and pages may leave on the Go heap before it is collected: a
// scrape leaves about 0.4 MiB, a probe some KiB.
const garbageBytesMax = 32 << 20

// garbage collects what connections and pages have left behind. The server runs with the
// collector's own pace switched off, because nothing on the data path allocates. What is live is a
// few MiB, so that a collection takes milliseconds, beside the stages.
type garbage struct {
	mutex     sync.Mutex
	liveBytes uint64 // of the heap, after the last collection
	sample    [1]runtimemetrics.Sample
}

// tidy collects if there is too much. While another goroutine collects, it does nothing.
func (g *garbage) tidy() {
	if !g.mutex.TryLock() {
		return
	}
	defer g.mutex.Unlock()
	if g.heapBytes() > g.liveBytes+garbageBytesMax {
		runtime.GC()
		g.liveBytes = g.heapBytes()
	}
}

func (g *garbage) heapBytes() uint64 {
	g.sample[0].Name = "/memory/classes/heap/objects:bytes"
	if runtimemetrics.Read(g.sample[:]); g.sample[0].Value.Kind() != runtimemetrics.KindUint64 {
		return 0
	}
	return g.sample[0].Value.Uint64()
}

// after tidies behind each page.
func (g *garbage) after(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.ServeHTTP(w, r)
		g.tidy()
	})
}
