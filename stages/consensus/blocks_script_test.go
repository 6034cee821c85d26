package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
)

// ask gives a machine a request for blocks as it would come from a peer.
func (m *machine) ask(from int, addresses ...uint64) {
	request := peer.RequestBlocks{BlocksCount: uint8(len(addresses))}
	for i, address := range addresses {
		request.Blocks[i] = nameOf(blockRef(address))
	}
	f := flight{command: peer.CommandRequestBlocks, view: m.stage.superblocks.now().View, bytes: make([]byte, limits.HeaderBytes)}
	request.Encode(f.bytes)
	m.receive(from, &f)
}

// asksFor counts, from now on, the blocks that machine from asks each machine for, and the answers
// to it.
func (w *several) asksFor(from *machine) (asked *[limits.ReplicasMax]int, answers map[peer.Command]int) {
	asked, answers = &[limits.ReplicasMax]int{}, map[peer.Command]int{}
	w.onSend = func(sender, to int, f *flight) bool {
		if to == from.index && (f.command == peer.CommandBlock || f.command == peer.CommandBlockMissing) {
			answers[f.command]++
		}
		if sender == from.index && f.command == peer.CommandRequestBlocks {
			var m peer.RequestBlocks
			e := peer.Envelope{Command: f.command, View: f.view, Incarnation: 1}
			if fault := m.Decode(f.bytes[:limits.HeaderBytes], &e, &w.bounds); fault.Faulty() {
				w.t.Fatal(fault)
			}
			asked[to] += int(m.BlocksCount)
		}
		return true
	}
	return asked, answers
}

// Goal: a backup and a primary get the blocks that they miss, while clients are served. What they
// asked for and what they got adds up.
func TestSeveralBlocks(t *testing.T) {
	w, primary, next, last := calm(t, 61)
	w.quiet(false)
	for _, m := range []*machine{primary, next} {
		for address := range uint64(40) {
			m.damage(1 + address)
		}
		w.until("the blocks are whole", w.isWhole)
		w.serves(second, "clients are not served meanwhile")
		s := &ClusterSample{}
		bytesMin := 40 * uint64(w.l.PageBytes)
		if m.stage.sampleCluster(s); s.BlocksRepaired != 40 || s.BlocksWanted != 0 || s.BlocksAsked < 40 || s.BlockBytesRepaired < bytesMin {
			t.Errorf("%+v", s)
		}
	}
	served := uint64(0)
	for _, m := range []*machine{primary, next, last} {
		s := &ClusterSample{}
		m.stage.sampleCluster(s)
		served += s.BlocksServed
	}
	if served < 80 {
		t.Errorf("%d blocks are served, want at least 80", served)
	}
	w.heal()
}

// Goal: a peer that does not answer, or answers with another block, or has not got it, is left for
// another one.
func TestSeveralBlocksOfAnotherPeer(t *testing.T) {
	for what, spoil := range map[string]func(w *several, bad *machine){
		"silent": func(w *several, bad *machine) { w.isolate(bad.index, true) },
		"wrong":  func(_ *several, bad *machine) { bad.grid.isLiar = true },
		"missing": func(_ *several, bad *machine) {
			for address := range uint64(30) {
				bad.grid.damaged[1+address] = true
			}
		},
	} {
		w, _, next, last := calm(t, 62)
		spoil(w, last)
		for address := range uint64(30) {
			next.damage(1 + address)
		}
		until := w.nowNs + 4*second
		w.until(what, func() bool { return len(next.grid.wanted) == 0 })
		if w.nowNs > until {
			t.Errorf("%s: it took until %d ms after", what, (w.nowNs-until)/1_000_000)
		}
	}
}

// Goal: what is asked for over a connection that ends is asked of another peer at once, and what
// came over it is written all the same. No slot is left behind.
func TestSeveralBlocksConnectionLost(t *testing.T) {
	w, _, next, last := calm(t, 63)
	for _, m := range w.machines {
		m.grid.isHeld = true // nobody answers
	}
	for address := range uint64(4) {
		next.damage(1 + address)
	}
	asked, _ := w.asksFor(next)
	w.run(50_000_000)
	gone := last
	if asked[last.index] == 0 {
		gone = w.machines[3-next.index-last.index]
	}
	if asked[gone.index] != 4 || asked[0]+asked[1]+asked[2] != 4 {
		t.Fatalf("asked for %v blocks", asked)
	}
	next.netEvents = append(next.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: uint8(gone.index)})
	w.run(20_000_000)
	if asked[0]+asked[1]+asked[2] != 8 || asked[gone.index] != 4 {
		t.Fatalf("asked for %v blocks", asked)
	}
	for _, m := range w.machines {
		m.grid.isHeld = m == next
	}
	w.until("the blocks come", func() bool { return len(next.grid.arrived) == 4 })
	for i := range w.machines {
		if i != next.index {
			next.netEvents = append(next.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: uint8(i)})
		}
	}
	w.run(20_000_000)
	next.grid.isHeld = false
	w.until("the blocks are written", func() bool { return len(next.grid.wanted) == 0 })
	for i := range w.machines {
		if i != next.index {
			next.netEvents = append(next.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLive, Peer: uint8(i)})
		}
	}
	w.quiet(false)
	w.heal()
	w.until("all is at rest", func() bool { return next.stage.send.lentCount() == 0 })
	for class := range stages.SlotClassesCount {
		if count := next.stage.slots.heldCount(class); class != stages.SlotReply && count > 0 {
			t.Errorf("%d slots of class %d are held at rest", count, class)
		}
	}
}

// Goal: a block that nobody asked for goes nowhere, and its slot comes back.
func TestSeveralBlockNobodyWants(t *testing.T) {
	w, _, next, last := calm(t, 64)
	free := next.slots.Pools[stages.SlotPeer].FreeCount()
	for address := range uint64(30) {
		ref := blockRef(1 + address)
		f := flight{command: peer.CommandBlock, view: next.stage.superblocks.now().View, bytes: make([]byte, limits.HeaderBytes)}
		(&peer.Block{Name: nameOf(ref)}).Encode(f.bytes)
		f.bytes = append(f.bytes, w.blockBytes(ref)...)
		next.receive(last.index, &f)
		w.run(5_000_000)
	}
	s := &ClusterSample{}
	if next.stage.sampleCluster(s); s.BlocksDropped != 30 || w.count["block"] != 0 {
		t.Errorf("%d blocks are dropped, %d are given to apply", s.BlocksDropped, w.count["block"])
	}
	if now := next.slots.Pools[stages.SlotPeer].FreeCount(); now != free {
		t.Errorf("%d slots are free, before it were %d", now, free)
	}
}

// Goal: at most four blocks are read for others at a time. A peer that asks for much does not keep
// another one waiting. What is beyond its queue, or has waited for too long, is dropped.
func TestSeveralBlocksServeBudget(t *testing.T) {
	w, primary, next, last := calm(t, 65)
	m := primary
	m.grid.isHeld = true
	for request := range uint64(6) {
		m.ask(next.index, 4*request+1, 4*request+2, 4*request+3, 4*request+4)
	}
	answered := map[int]int{}
	w.onSend = func(from, to int, f *flight) bool {
		if from == m.index && f.command == peer.CommandBlock {
			answered[to]++
		}
		return true
	}
	w.run(10_000_000)
	m.ask(last.index, 50)
	w.run(10_000_000)
	if len(m.grid.serves) != stages.BlocksServedMax {
		t.Fatalf("%d blocks are read for others", len(m.grid.serves))
	}
	sample := func() (s ClusterSample) {
		m.stage.sampleCluster(&s)
		return s
	}
	if dropped := sample().BlockRequestsDropped; dropped != 4 {
		t.Errorf("of 24 blocks that one peer asks for %d are dropped, want 4", dropped)
	}
	m.grid.isHeld = false
	w.until("the other peer has its answer", func() bool { return answered[last.index] == 1 })
	if answered[next.index] >= 20 {
		t.Error("one peer waits for all that the other one asks for")
	}
	w.until("all have their answers", func() bool { return answered[next.index] == 20 })
	m.grid.isHeld = true
	m.ask(next.index, 1, 2, 3, 4)
	m.ask(next.index, 5, 6, 7, 8)
	w.run(second)
	m.grid.isHeld = false
	w.run(second)
	if s := sample(); answered[next.index] != 24 || s.BlockRequestsDropped != 8 || s.BlocksServed != 25 {
		t.Errorf("%d answers, %d questions dropped, %d served", answered[next.index], s.BlockRequestsDropped, s.BlocksServed)
	}
	if m.grid.servesMost != stages.BlocksServedMax {
		t.Errorf("%d blocks were read at a time", m.grid.servesMost)
	}
}

// Goal: a block is served by a replica in a view change, and by one that looks for the head of its
// log. What it has not got it says so.
func TestSeveralBlocksInEachState(t *testing.T) {
	w, _, next, last := calm(t, 66)
	w.cut(next)
	w.until("it is in a view change", func() bool {
		if !next.stage.views.isChanging() {
			next.stage.wish(peer.CauseSilent)
			next.stage.enterView(next.stage.views.now() + 1)
		}
		return next.stage.views.isChanging()
	})
	var answers []flight
	w.onSend = func(from, to int, f *flight) bool {
		if from == next.index && to == last.index && (f.command == peer.CommandBlock || f.command == peer.CommandBlockMissing) {
			answers = append(answers, *f)
		}
		return true
	}
	next.grid.damaged[2] = true
	w.run(50_000_000)
	next.ask(last.index, 1, 2)
	w.run(50_000_000)
	if len(answers) != 2 || answers[0].command == answers[1].command {
		t.Fatalf("%d answers in a view change", len(answers))
	}
	op := next.stage.log.head()
	next.powerCut()
	w.quiet(false)
	w.run(second)
	next.disk[op%uint64(len(next.disk))] = diskSlot{[]byte{}, []byte{}}
	next.superblock.View = next.superblock.LogView
	next.start()
	w.run(20_000_000)
	if !next.stage.views.isRecovering() {
		t.Fatalf("the head of op %d is not uncertain: %s", op, w.text())
	}
	next.ask(last.index, 1)
	w.run(50_000_000)
	if len(answers) != 3 || answers[2].command != peer.CommandBlock {
		t.Fatalf("%d answers while the head is uncertain", len(answers))
	}
}

// Goal: a block that no replica brings is asked for on and on; a line says so when that begins and
// once a minute, and says whether all others have answered that they have not got it. Other blocks
// are repaired meanwhile, and clients are served. A line says when it has come.
func TestSeveralLostBlock(t *testing.T) {
	w, primary, next, last := calm(t, 67)
	var said []LostBlocks
	var saidNs []uint64
	w.onLost = func(m *machine, lost LostBlocks) {
		if m != next {
			t.Errorf("machine %d says %+v", m.index, lost)
		}
		said, saidNs = append(said, lost), append(saidNs, w.nowNs)
	}
	for _, m := range w.machines {
		m.grid.damaged[7] = true
	}
	began := w.nowNs
	next.damage(7)
	w.until("a line", func() bool { return len(said) > 0 })
	want := LostBlocks{Count: 1, Ref: blockRef(7), Tree: "balances", WaitedNs: said[0].WaitedNs, IsEverywhere: true}
	if said[0] != want || w.nowNs > began+2*second {
		t.Fatalf("said %+v", said)
	}
	asked, _ := w.asksFor(next)
	w.run(40 * second)
	if count := asked[0] + asked[1] + asked[2]; count < 4 || count > 20 {
		t.Errorf("asked %d times in 40 s", count)
	}
	next.damage(8)
	w.quiet(false)
	w.serves(2*second, "clients are not served")
	w.quiet(true)
	if len(next.wantsOf()) != 1 {
		t.Errorf("the machine still wants %v", next.wantsOf())
	}
	w.run(30 * second)
	if len(said) != 2 || saidNs[1] < saidNs[0]+60*second || said[1].WaitedNs < 60*second {
		t.Fatalf("said %+v at %v", said, saidNs)
	}
	s := &ClusterSample{}
	if next.stage.sampleCluster(s); s.BlocksLost != 1 || s.BlocksWanted != 1 {
		t.Errorf("%d blocks are lost, %d wanted", s.BlocksLost, s.BlocksWanted)
	}
	w.isolate(last.index, true)
	delete(primary.grid.damaged, 7)
	w.until("the block comes", func() bool { return len(next.grid.wanted) == 0 })
	w.run(second)
	if len(said) != 3 || said[2].Count != 0 {
		t.Fatalf("said %+v", said)
	}
}
