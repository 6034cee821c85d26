package main

import (
	"fmt"
	"time"

	"ledger/admin"
)

// The tables of status and top, in the order of their keys.
var tableMakers = []struct {
	name string
	make func(f *figures) table
}{
	{"times", (*figures).times},
	{"threads", (*figures).threads},
	{"stages", (*figures).stages},
	{"rings", (*figures).rings},
	{"clients", (*figures).clients},
	{"replicas", (*figures).replicas},
	{"disk", (*figures).disk},
}

func (f *figures) times() table {
	t := table{name: "times", columns: []column{{"time", true}, {"per second", false}, {"mean", false}, {"p50", false}, {"p99", false},
		{"max", false}}}
	for i := range f.now.Times {
		now := &f.now.Times[i]
		var then *admin.StatusTime
		if f.then != nil && i < len(f.then.Times) && f.then.Times[i].Name == now.Name {
			then = &f.then.Times[i]
		}
		q := between(then, now)
		rate, mean := 0.0, uint64(0)
		if seconds := f.seconds(); seconds > 0 {
			rate = float64(q.count) / seconds
		}
		if q.count > 0 {
			mean = q.sumNs / q.count
		}
		t.rows = append(t.rows, []cell{textCell(now.Name), rateCell(rate), timeCell(mean), timeCell(q.p50), timeCell(q.p99), timeCell(q.max)})
	}
	return t
}

func (f *figures) threads() table {
	t := table{name: "threads", columns: []column{{"thread", true}, {"stepping", false}, {"spinning", false}, {"parked", false},
		{"calls/s", false}}}
	for i := range f.now.Threads {
		now, then := f.now.Threads[i], admin.StatusThread{}
		if f.then != nil && i < len(f.then.Threads) {
			then = f.then.Threads[i]
		}
		stepping, spinning, parked := now.SteppingNs-then.SteppingNs, now.SpinningNs-then.SpinningNs, now.ParkedNs-then.ParkedNs
		all := max(1, float64(stepping+spinning+parked))
		calls := f.perSecond(func(s *admin.Status) uint64 { return s.Threads[i].Calls })
		t.rows = append(t.rows, []cell{textCell(now.Name), shareCell(float64(stepping) / all), shareCell(float64(spinning) / all),
			shareCell(float64(parked) / all), rateCell(calls)})
	}
	return t
}

func (f *figures) stages() table {
	t := table{name: "stages", columns: []column{{"stage", true}, {"busy", false}, {"turns/s", false}, {"thread", true}}}
	for i := range f.now.Stages {
		busy := f.perSecond(func(s *admin.Status) uint64 { return s.Stages[i].BusyNs }) / 1e9
		turns := f.perSecond(func(s *admin.Status) uint64 { return s.Stages[i].Turns })
		t.rows = append(t.rows, []cell{textCell(f.now.Stages[i].Name), shareCell(busy), rateCell(turns), textCell(f.now.Stages[i].Thread)})
	}
	return t
}

func (f *figures) rings() table {
	t := table{name: "rings", columns: []column{{"ring", true}, {"events", false}, {"highest", false}, {"capacity", false}}}
	for _, r := range f.now.Rings {
		t.rows = append(t.rows, []cell{textCell(r.Name), countCell(r.Events), countCell(r.Highest), countCell(r.Capacity)})
	}
	return t
}

func (f *figures) clients() table {
	t := table{name: "clients", columns: []column{{"client", true}, {"address", true}, {"release", true}, {"requests", false},
		{"per second", false}, {"last op", false}}}
	before := map[string]uint32{}
	if f.then != nil {
		for i := range f.then.Clients {
			before[f.then.Clients[i].Client] = f.then.Clients[i].Request
		}
	}
	for i := range f.now.Clients {
		c := &f.now.Clients[i]
		rate := 0.0
		if seconds := f.seconds(); seconds > 0 {
			rate = float64(c.Request-min(before[c.Client], c.Request)) / seconds
		}
		address := c.Address
		if address == "" {
			address = "-" // not connected, here or at all
		}
		t.rows = append(t.rows, []cell{textCell(c.Client), textCell(address), textCell(c.Release), countCell(uint64(c.Request)),
			rateCell(rate), countCell(c.Op)})
	}
	return t
}

func (f *figures) replicas() table {
	t := table{name: "replicas", columns: []column{{"replica", true}, {"connection", true}, {"heard", false}, {"age of ops", false},
		{"op", false}, {"committed", false}, {"lag", false}}}
	for _, p := range f.now.Peers {
		heard, age := cell{text: "never"}, cell{text: "-"}
		if p.IsKnown {
			heard, age = timeCell(p.HeardNs), timeCell(p.AgeNs)
		}
		t.rows = append(t.rows, []cell{textCell(fmt.Sprint(p.Replica)), textCell(p.Connection), heard, age, countCell(p.Op),
			countCell(p.CommitOp), countCell(p.LagOps)})
	}
	return t
}

func (f *figures) disk() table {
	t := table{name: "disk", columns: []column{{"disk", true}, {"per second", false}, {"since the start", false}}}
	for i, d := range f.now.Disk {
		rate := f.perSecond(func(s *admin.Status) uint64 { return s.Disk[i].Bytes })
		t.rows = append(t.rows, []cell{textCell(d.Kind), bytesCell(rate), bytesCell(float64(d.Bytes))})
	}
	return t
}

// head is what matters most, in five lines of at most 80 columns as long as figures are usual.
func (f *figures) head() []string {
	s := f.now
	ready := "serves clients"
	if !s.IsReady {
		ready = "does not serve clients"
		if s.Away != "" {
			ready += ": " + s.Away
		}
	}
	up := time.Duration(s.UpNs).Round(time.Second)
	room := "growth unknown yet"
	if s.File.GrowthOverNs > 0 {
		room = fmt.Sprintf("+%s an hour", shortBytes(s.GrowthPerHour()))
		if left, ok := s.FullIn(); ok {
			room += fmt.Sprintf(", full in %.1f days", left.Hours()/24)
		}
	}
	who := fmt.Sprintf("replica %d of %d", s.Replica, s.Replicas)
	if s.Replica >= s.Replicas {
		who = fmt.Sprintf("member %d of %d replicas", s.Replica, s.Replicas) // the role says that it is a standby
	}
	return []string{
		fmt.Sprintf("ledger %s  cluster %s  %s  %s  view %d  up %s", s.Version, s.Cluster, who, s.Role, s.View, up),
		fmt.Sprintf("op %d  committed %d  executed %d  lag %d  checkpoint %d  %s", s.HeadOp, s.CommitMaxOp, s.ExecutedOp,
			s.CommitMaxOp-min(s.ExecutedOp, s.CommitMaxOp), s.CheckpointOp, ready),
		fmt.Sprintf("per second: %s requests, %s ops, %s transfers, %s accounts; queue %d, pipeline %d of %d",
			shortNumber(f.perSecond(func(s *admin.Status) uint64 { return s.Requests })),
			shortNumber(f.perSecond(func(s *admin.Status) uint64 { return s.Ops })),
			shortNumber(f.perSecond(func(s *admin.Status) uint64 { return s.Transfers })),
			shortNumber(f.perSecond(func(s *admin.Status) uint64 { return s.Accounts })), s.Queued, s.Pipeline, s.Limits.PipelineOps),
		fmt.Sprintf("%d transfers, %d accounts; sessions %d of %d, connections %d of %d, slow ops %d", s.Transfers, s.Accounts, s.Sessions,
			s.Limits.Sessions, s.Connections, s.Limits.Connections, s.SlowOps),
		fmt.Sprintf("file %s, %s; memory %s of %s; %.2f cores", shortBytes(float64(s.File.UsedBytes)), room,
			shortBytes(float64(s.Memory.ResidentBytes)), shortBytes(float64(s.Memory.ExpectedBytes)),
			f.perSecond(func(s *admin.Status) uint64 { return s.Memory.CPUNs })/1e9),
	}
}
