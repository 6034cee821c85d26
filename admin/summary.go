package admin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"ledger/metrics"
	"ledger/peer"
	"ledger/replica"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/storage/forest/levels"
)

// writeSummary is the page for people. Shares and quantiles are since the start.
func writeSummary(w io.Writer, s *snapshot) {
	state := "clients are not served"
	if s.ready {
		state = "clients are served"
	}
	fmt.Fprintf(w, "ledger %s, up %s, %s\n", s.version, time.Duration(s.process.upNs).Round(time.Second), state)
	fmt.Fprintf(w, "view %d, log head op %d, commit op %d, executed op %d, checkpoint op %d\n",
		s.Consensus.View, s.Consensus.Op, s.Consensus.Commit, s.Apply.Op, s.Consensus.CheckpointOp)
	fmt.Fprintf(w, "%d accounts, %d transfers, %d sessions, %d connections\n",
		s.Apply.AccountsCount, s.Apply.TransfersCount, s.Consensus.SessionsCount, s.Net.ConnectionsCount)
	writeCluster(w, s)
	writeScrubber(w, s)
	fmt.Fprintf(w, "resident %d MiB, processor time %s\n", s.process.residentBytes>>20, time.Duration(s.process.cpuNs).Round(time.Millisecond))

	fmt.Fprintf(w, "\n%-32s %9s %9s %9s %12s %12s %12s\n", "thread", "stepping", "spinning", "parked", "busy turns", "parks", "sys. calls")
	for i := range s.Threads {
		t := &s.Threads[i]
		f := &t.Figures
		all := f.SteppingNs + f.SpinningNs + f.ParkedNs
		fmt.Fprintf(w, "%-32s %9s %9s %9s %12d %12d %12d", t.Name, share(f.SteppingNs, all), share(f.SpinningNs, all), share(f.ParkedNs, all),
			f.BusyTurns, f.Parks, t.Syscalls)
		if !t.Answered {
			fmt.Fprint(w, "  does not answer: older figures")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n%-32s %9s %12s\n", "stage", "busy", "busy turns")
	s.eachStage(func(t *replica.ThreadSample, stage int, name string) {
		all := t.Figures.SteppingNs + t.Figures.SpinningNs + t.Figures.ParkedNs
		fmt.Fprintf(w, "%-32s %9s %12d\n", name, share(t.Figures.StageNs[stage], all), t.Figures.StageTurns[stage])
	})

	fmt.Fprintf(w, "\n%-32s %12s %12s %12s %12s %12s\n", "time", "count", "mean", "p50", "p99", "p100")
	s.eachTime(func(name string, h *metrics.Histogram) {
		fmt.Fprintf(w, "%-32s %12d %12s %12s %12s %12s\n", name, h.Count(), duration(uint64(h.Mean())), duration(h.Quantile(0.5)),
			duration(h.Quantile(0.99)), duration(h.Max))
	})

	writeSlowest(w, s)

	fmt.Fprintf(w, "\n%-32s %12s %12s %12s %12s %12s\n", "fill of prepares", "count", "mean", "p50", "p99", "p100")
	fill := func(name string, h *metrics.Histogram) {
		fmt.Fprintf(w, "%-32s %12d %12.1f %12d %12d %12d\n", name, h.Count(), h.Mean(), h.Quantile(0.5), h.Quantile(0.99), h.Max)
	}
	fill("requests", &s.Consensus.RequestsPerPrepare)
	fill("events", &s.Consensus.EventsPerPrepare)

	writePeers(w, s)
	fmt.Fprintf(w, "\n%-32s %12s %12s %12s\n", "ring", "events", "highest", "capacity")
	for i := range s.Edges {
		e := &s.Edges[i]
		fmt.Fprintf(w, "%-32s %12d %12d %12d\n", e.Name, e.Count, e.CountMax, e.Capacity)
	}
	g := &s.Apply.Grid
	fmt.Fprintf(w, "\n%-32s %12s %12s\n", "cache", "lookups", "found")
	fmt.Fprintf(w, "%-32s %12d %12s\n", "grid: pages", g.PageLookups, share(g.PageHits, g.PageLookups))
	fmt.Fprintf(w, "%-32s %12d %12s\n", "grid: header pages", g.HeaderLookups, share(g.HeaderHits, g.HeaderLookups))
	fmt.Fprintf(w, "%d accounts loaded into their cache, %d pages read, %d waits for a page\n", s.Apply.Forest.AccountLoads, g.Reads,
		s.Apply.Forest.PageWaits)

	fmt.Fprintf(w, "\n%-32s %12s %12s %12s  %s\n", "tree", "flushed, KiB", "merged, KiB", "debt entries", "runs by level")
	log := s.treeBytes(storage.TreeTransferLog)
	fmt.Fprintf(w, "%-32s %12d %12s %12s\n", storage.Trees[storage.TreeTransferLog].Name, log.Flushed>>10, "-", "-")
	s.eachTree(func(id storage.TreeID, t *levels.TreeCounters) {
		if bytes := s.treeBytes(id); t.Runs != [storage.LevelsMax]uint64{} || bytes.Flushed > 0 {
			runs := strings.Trim(fmt.Sprint(t.Runs[:s.levelsCount()]), "[]")
			fmt.Fprintf(w, "%-32s %12d %12d %12d  %s\n", storage.Trees[id].Name, bytes.Flushed>>10, bytes.Merged>>10, t.MergeEntries, runs)
		}
	})
	fmt.Fprintf(w, "\n%-32s %12s\n", "disk", "MiB")
	s.eachDiskKind(func(kind string, bytes uint64) { fmt.Fprintf(w, "%-32s %12d\n", kind, bytes>>20) })

	fmt.Fprintf(w, "\n%-32s %12s %12s %12s  %s\n", "memory, KiB", "reserved", "at start", "resident", "class")
	for i := range s.Memory {
		e := &s.Memory[i]
		fmt.Fprintf(w, "%-32s %12d %12d %12d  %s\n", e.Name, e.Bytes>>10, e.TouchBytes>>10, s.Resident[i]>>10, e.Class)
	}
	fmt.Fprintf(w, "the process has %d MiB resident; %d MiB are expected, and %d MiB are the most\n",
		s.process.residentBytes>>20, replica.Mebibytes(s.Need.ExpectedBytes), replica.Mebibytes(s.Need.LargestBytes))
}

// writePeers has a line for each other replica.
func writePeers(w io.Writer, s *snapshot) {
	if s.Peers.Count == 0 {
		return
	}
	fmt.Fprintf(w, "\n%-32s %12s %12s %12s %12s %12s\n", "replica", "connection", "sent", "dropped", "received", "no slot")
	s.eachPeer(func(p *net.PeerSample, index string) {
		sent, dropped := uint64(0), uint64(0)
		for class := range peer.ClassesCount {
			sent += p.Counters.Sent.Sent[class]
			dropped += p.Counters.Sent.Dropped[class]
		}
		received := &p.Counters.Received
		fmt.Fprintf(w, "%-32s %12s %12d %12d %12d %12d\n", index, p.State, sent, dropped, received.Messages, received.Discarded)
	})
}

// writeSlowest lists the slowest ops, a line for each.
func writeSlowest(w io.Writer, s *snapshot) {
	var threads []string
	for i := range s.Threads {
		threads = append(threads, s.Threads[i].Name)
	}
	list := func(in *metrics.Interval) {
		for i := range in.Count {
			fmt.Fprintf(w, "  %s\n", replica.DescribeSlow(&in.Ops[i], threads))
		}
	}
	f := &s.Slowest
	fmt.Fprintf(w, "\nslowest ops since the start (%d took %s or longer)\n", f.SlowCount, duration(metrics.SlowNs))
	list(&f.Ever)
	for i := range f.Recent {
		if f.Recent[i].Count > 0 {
			const seconds = metrics.IntervalNs / uint64(time.Second)
			fmt.Fprintf(w, "slowest ops in ten seconds, %d to %d s before the last one\n", uint64(i)*seconds, uint64(i+1)*seconds)
			list(&f.Recent[i])
		}
	}
}

func share(part, all uint64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(all))
}

// duration with three digits or so.
func duration(ns uint64) string {
	d := time.Duration(ns)
	for unit := time.Nanosecond; unit < time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second / 10).String()
}
