package replica

import (
	"strings"
	"testing"
	"time"

	"ledger/events"
	"ledger/peer"
	"ledger/stages/consensus"
	"ledger/storage"
	"ledger/wire"
)

// Goal: one line for each view, with its cause and the time without service here, which counts from
// the last sign of life of a primary that was silent, or from a state sync of this replica; a line
// when service stops for a reason that lasts, and one when it is back; none for what passes during
// a start.
func TestServiceLines(t *testing.T) {
	var text strings.Builder
	log := events.New(&text, events.FormatText)
	nowNs := uint64(5e9)
	s := newService(log, func() uint64 { return nowNs }, 1, 3)
	if s.why() == "" || (*service)(nil).why() != "" {
		t.Error("a replica of several serves nobody before consensus says so, and a single one does not ask")
	}
	tell := func(afterMs uint64, now consensus.Service) {
		nowNs += afterMs * 1e6
		now.Primary = uint8(now.View % 3)
		s.changed(now)
		if (s.why() == "") != now.IsServing() {
			t.Errorf("%+v: %q", now, s.why())
		}
	}
	tell(0, consensus.Service{View: 3, Away: consensus.AwayAlone})
	tell(10, consensus.Service{View: 3, Away: consensus.AwayBehind, IsNormal: true})
	tell(10, consensus.Service{View: 3, IsNormal: true})
	lost := nowNs + 1e6
	tell(300, consensus.Service{View: 4, Away: consensus.AwayViewChange, Cause: peer.CauseSilent, LostNs: lost})
	tell(50, consensus.Service{View: 4, IsNormal: true, Cause: peer.CauseSilent, LostNs: lost})
	tell(1000, consensus.Service{View: 4, IsNormal: true, Away: consensus.AwayAlone})
	tell(2000, consensus.Service{View: 4, IsNormal: true})
	tell(1000, consensus.Service{View: 5, Away: consensus.AwayViewChange})
	tell(1000, consensus.Service{View: 6, Away: consensus.AwayViewChange})
	tell(1500, consensus.Service{View: 7, Away: consensus.AwayViewChange})
	tell(100, consensus.Service{View: 7, IsNormal: true, Cause: peer.CauseStuck})
	tell(1000, consensus.Service{View: 7, Away: consensus.AwaySync})
	tell(130_000, consensus.Service{View: 8, Away: consensus.AwaySync})
	tell(8000, consensus.Service{View: 8, IsNormal: true, Cause: peer.CauseFollowed})
	if !log.Close(time.Minute) {
		t.Fatal("the log does not end")
	}
	want := []string{
		"info: view 3: replica 0 is the primary\n",
		"info: view 4: replica 1 is the primary (this one), because nothing was heard of the primary; 349ms without service here\n",
		"warning: view 4: clients are not served here: too few other replicas are heard\n",
		"info: view 4: clients are served here again, after 2s\n",
		"warning: view 7: clients are not served here: the replicas are choosing a primary\n",
		"info: view 7: replica 1 is the primary (this one), because the view change took too long; 2.6s without service here\n",
		"warning: view 8: clients are not served here: state sync: the checkpoint of another replica is being opened\n",
		"info: view 8: replica 2 is the primary, because the other replicas left the view before; 2m18s without service here\n",
	}
	lines := strings.SplitAfter(text.String(), "\n")
	if len(lines) != len(want)+1 {
		t.Fatalf("%d lines:\n%s", len(lines)-1, text.String())
	}
	for i := range want {
		if !strings.HasSuffix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
}

// Goal: a start that serves nobody for long is told once, although clients were never served.
func TestServiceOfALongStart(t *testing.T) {
	var text strings.Builder
	log, nowNs := events.New(&text, events.FormatText), uint64(1)
	s := newService(log, func() uint64 { return nowNs }, 1, 3)
	for _, after := range []uint64{0, 4, 5, 2, 9} {
		nowNs += after * 1e9
		s.changed(consensus.Service{View: uint32(nowNs / 1e9), Away: consensus.AwayViewChange})
	}
	s.changed(consensus.Service{View: 20, IsNormal: true})
	if !log.Close(time.Minute) {
		t.Fatal("the log does not end")
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "warning: view 11: clients are not served here: the replicas are choosing a primary") ||
		!strings.HasSuffix(lines[1], "info: view 20: replica 0 is the primary") {
		t.Errorf("the log says:\n%s", text.String())
	}
}

// Goal: the line about blocks that no replica brings names address, checksum and tree, and says
// whether waiting is of any use.
func TestLostBlocksLines(t *testing.T) {
	var text strings.Builder
	log := events.New(&text, events.FormatText)
	now := consensus.LostBlocks{Count: 1, Ref: storage.Ref{Address: 12, Checksum: wire.Checksum{0xab}}, Tree: "balances",
		WaitedNs: 2e9}
	lostBlocks(log, &now)
	now.Count, now.Tree, now.IsEverywhere = 3, "", true
	lostBlocks(log, &now)
	lostBlocks(log, &consensus.LostBlocks{})
	if !log.Close(time.Minute) {
		t.Fatal("the log does not end")
	}
	const sum = "ab000000000000000000000000000000"
	want := []string{
		"warning: block 12 of balances, checksum " + sum + ", is damaged here and has not come from another replica for 2s: " +
			"it is asked for again, and requests that need it wait; are all replicas up?\n",
		"warning: block 12, checksum " + sum + ", is damaged here and has not come from another replica for 2s, nor have 2 others: " +
			"all other replicas have answered that they have not got it; requests that need it wait until a replica that has it is back\n",
		"info: the blocks that no replica had brought are whole again\n",
	}
	lines := strings.SplitAfter(text.String(), "\n")
	for i := range want {
		if len(lines) != len(want)+1 || !strings.HasSuffix(lines[i], want[i]) {
			t.Fatalf("line %d, want %q in\n%s", i, want[i], text.String())
		}
	}
}
