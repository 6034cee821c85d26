package admin

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ledger/metrics"
	"ledger/stages/apply"
	"ledger/stages/consensus"
	"ledger/wire"
)

const (
	statsdEvery     = 10 * time.Second
	statsdBytesMax  = 1400 // of a packet: it fits one frame of Ethernet
	statsdResolveIn = 5 * time.Second
)

// Statsd sends figures to an agent by UDP, in the format of DogStatsD. Names and tags are those of
// the reference where it has the same figure; docs/statsd.md has the table. All others have the
// names of /metrics, and their labels as tags.
type Statsd struct {
	figures *Figures
	address string
	dial    net.Dialer
	conn    net.Conn // nil after a failure: the name is resolved again
	ending  chan struct{}
	running sync.WaitGroup

	garbage garbage // of the lines

	packet  []byte
	packets uint64 // of the last emission
	tags    string // of every line
	before  map[string]*metrics.Histogram
}

// StartStatsd sends to address every ten seconds until Close. figures must have a source.
func StartStatsd(address string, figures *Figures) *Statsd {
	s := newStatsd(address, figures)
	s.running.Go(func() {
		ticker := time.NewTicker(statsdEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.emit()
				s.garbage.tidy()
			case <-s.ending:
				return
			}
		}
	})
	return s
}

func newStatsd(address string, figures *Figures) *Statsd {
	return &Statsd{figures: figures, address: address, dial: net.Dialer{Timeout: statsdResolveIn}, ending: make(chan struct{}),
		packet: make([]byte, 0, statsdBytesMax), before: map[string]*metrics.Histogram{}}
}

// Close ends it. Without one (nil), it does nothing.
func (s *Statsd) Close() {
	if s == nil {
		return
	}
	close(s.ending)
	s.running.Wait()
	if s.conn != nil {
		_ = s.conn.Close() // a datagram socket has nothing to lose
	}
}

// emit all figures once. An agent that is not there costs nothing: the next emission tries again.
func (s *Statsd) emit() {
	if s.conn == nil {
		conn, err := s.dial.Dial("udp", s.address)
		if err != nil {
			return
		}
		s.conn = conn
	}
	sentBefore := s.packets
	s.packets = 0
	s.figures.with(func(snapshot *snapshot) {
		s.tags = fmt.Sprintf("cluster:%016x%016x,replica:%d", snapshot.Cluster.Hi, snapshot.Cluster.Lo, snapshot.Self)
		s.reference(snapshot, sentBefore)
		s.own(snapshot)
	})
	s.flush()
}

// line is one figure: kind is g for a gauge and c for a count.
func (s *Statsd) line(name string, value uint64, kind string, tags ...string) {
	text := name + ":" + strconv.FormatUint(value, 10) + "|" + kind + "|#" + s.tags
	for i := 0; i+1 < len(tags); i += 2 {
		text += "," + tags[i] + ":" + strings.NewReplacer(",", "_", "|", "_", "\n", "_").Replace(tags[i+1])
	}
	if len(s.packet)+len(text)+1 > statsdBytesMax {
		s.flush()
	}
	s.packet = append(append(s.packet, text...), '\n')
}

func (s *Statsd) flush() {
	if len(s.packet) == 0 {
		return
	}
	if s.conn != nil {
		_, err := s.conn.Write(s.packet)
		var operation *net.OpError
		if s.packets++; err != nil && errors.As(err, &operation) {
			// Nobody listens, perhaps because the agent has moved.
			_ = s.conn.Close()
			s.conn = nil
		}
	}
	s.packet = s.packet[:0]
}

// statusOf a role, as the reference numbers them.
var statusOf = map[consensus.Role]uint64{consensus.RolePrimary: 0, consensus.RoleBackup: 0, consensus.RoleChanging: 1,
	consensus.RoleStarting: 2, consensus.RoleFailed: 2, consensus.RoleRecovering: 3}

// operationOf a class of operations: the tag of the reference's timings.
var operationOf = [apply.ClassesCount]string{apply.ClassCreateTransfers: "create_transfers", apply.ClassCreateAccounts: "create_accounts",
	apply.ClassLookup: "lookup", apply.ClassQuery: "query", apply.ClassPulse: "pulse", apply.ClassOther: "other"}

// reference sends what the reference sends as well, by its names.
func (s *Statsd) reference(f *snapshot, packets uint64) {
	g := &f.Apply.Grid
	for _, gauge := range []struct {
		name  string
		value uint64
	}{
		{"replica_status", statusOf[f.Consensus.Role]},
		{"replica_view", uint64(f.Consensus.View)},
		{"replica_op", f.Consensus.Op},
		{"replica_op_checkpoint", f.Consensus.CheckpointOp},
		{"replica_commit_min", f.Consensus.Commit},
		{"replica_commit_max", f.Consensus.CommitMax},
		{"replica_pipeline_queue_length", f.Consensus.PipelineCount + f.Consensus.QueueCount},
		{"grid_blocks_acquired", f.Apply.Forest.BlocksAcquired},
		{"grid_cache_hits", g.PageHits},
		{"grid_cache_misses", g.PageLookups - g.PageHits},
		{"metrics_statsd_packets", packets},
		{"release", uint64(wire.ReleaseAnnounced)},
	} {
		s.line("tb."+gauge.name, gauge.value, "g")
	}
	s.timing("replica_request", &f.Consensus.ServiceNs)
	for class := range f.Apply.ExecuteNs {
		s.timing("replica_request_execute", &f.Apply.ExecuteNs[class], "operation", operationOf[class])
	}
	s.timing("storage_write", &f.Journal.WriteNs, "zone", "wal_prepares")
	s.timing("storage_write", &f.Journal.SuperblockNs, "zone", "superblock")
	s.timing("compact_beat", &f.Apply.GenerationNs)
	s.line("tb.metrics_emit_us.max", f.waitNs/1000, "g")
}

// timing sends what was recorded since the last emission: count and sum exactly, the smallest and
// the largest value at most an eighth too large.
func (s *Statsd) timing(name string, now *metrics.Histogram, tags ...string) {
	key := name + strings.Join(tags, ",")
	before := s.before[key]
	if before == nil {
		before = &metrics.Histogram{}
		s.before[key] = before
	}
	count, least, largest := uint64(0), uint64(0), uint64(0)
	for cell := range now.Cells {
		if grown := now.Cells[cell] - before.Cells[cell]; grown > 0 {
			if count == 0 {
				least = metrics.CellMax(cell)
			}
			count, largest = count+grown, min(metrics.CellMax(cell), now.Max)
		}
	}
	sum := now.Sum - before.Sum
	*before = *now
	if count == 0 {
		return
	}
	name = "tb." + name + "_us."
	s.line(name+"min", min(least, largest)/1000, "g", tags...)
	s.line(name+"max", largest/1000, "g", tags...)
	s.line(name+"avg", sum/count/1000, "g", tags...)
	s.line(name+"sum", sum/1000, "c", tags...)
	s.line(name+"count", count, "c", tags...)
}

// own sends all numbers of /metrics as gauges. Counters count since the start, as there. Histograms
// are left out.
func (s *Statsd) own(f *snapshot) {
	for i := range s.figures.families {
		family := &s.figures.families[i]
		if family.numbers == nil {
			continue
		}
		family.numbers(f, func(value uint64, labels ...string) {
			var tags []string
			for i, label := range labels {
				tags = append(tags, family.labels[i], label)
			}
			s.line(family.name, value, "g", slices.Clip(tags)...)
		})
	}
}
