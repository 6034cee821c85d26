package admin

import (
	"sync"
	"time"
)

const (
	growthEvery   = time.Minute
	growthPoints  = 61 // an hour
	growthOverMin = 10 * time.Second
)

// growth remembers how large the data file was, once in growthEvery, for an hour. The zero value is
// empty.
type growth struct {
	mutex  sync.Mutex
	points []growthPoint // from the oldest to the newest
}

type growthPoint struct {
	at    time.Time
	bytes uint64
}

// record a size, unless there is a point of the last minute.
func (g *growth) record(bytes uint64, at time.Time) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if count := len(g.points); count > 0 && at.Sub(g.points[count-1].at) < growthEvery {
		return
	}
	if len(g.points) == growthPoints {
		g.points = append(g.points[:0], g.points[1:]...)
	}
	g.points = append(g.points, growthPoint{at, bytes})
}

// since the oldest point: how many bytes were added, in what time. Both are 0 as long as the time
// is too short to say anything.
func (g *growth) since(bytes uint64, at time.Time) (added, overNs uint64) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if len(g.points) == 0 || at.Sub(g.points[0].at) < growthOverMin {
		return 0, 0
	}
	return bytes - min(bytes, g.points[0].bytes), uint64(at.Sub(g.points[0].at))
}

// watchGrowth records a size each minute until Close.
func (s *Server) watchGrowth() {
	ticker := time.NewTicker(growthEvery)
	defer ticker.Stop()
	for {
		s.collector.with(func(snapshot *snapshot) { s.collector.growth.record(snapshot.usedBytes(), time.Now()) })
		select {
		case <-ticker.C:
		case <-s.ending:
			return
		}
	}
}
