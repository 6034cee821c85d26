package vsr

import (
	"testing"

	"ledger/wire"
)

const testHeldMax = 4

func connectedBlocks(self, replicas int) BlockBudget {
	b := NewBlockBudget(self, replicas, testHeldMax)
	for i := range replicas {
		if i != self {
			b.Connected(0, i, true)
		}
	}
	return b
}

func testBlock(address uint64) Block {
	return Block{Address: address, Checksum: wire.Checksum{byte(address), 1}}
}

// askAll asks until nobody can be asked, and returns how many blocks each peer was asked for.
func askAll(b *BlockBudget, nowNs uint64) (asked [6]int) {
	for {
		peer, _, count, ok := b.Ask(nowNs, 0)
		if !ok {
			return asked
		}
		asked[peer] += count
	}
}

// Goal: a request names up to four blocks, and no peer is asked for more than can be held of it.
func TestBlocksRoom(t *testing.T) {
	b := connectedBlocks(0, 3)
	for address := range uint64(20) {
		b.Want(0, testBlock(address+1))
	}
	if got := askAll(&b, 0); got != [6]int{0, 4, 4} {
		t.Fatalf("asked for %v blocks", got)
	}
	token, ok := b.Arrived(ms, 1, testBlock(1))
	if !ok {
		t.Fatal("what was asked for is not taken")
	}
	if _, ok := b.Arrived(ms, 2, testBlock(1)); ok {
		t.Error("a second copy is taken while the first one is held")
	}
	if got := askAll(&b, ms); got != [6]int{} {
		t.Errorf("asked for %v blocks while one is held in the place of the one that came", got)
	}
	if b.Repaired(token); b.Count() != 19 {
		t.Error("the want does not end with its repair")
	}
	if got := askAll(&b, ms); got != [6]int{0, 1, 0} {
		t.Errorf("asked for %v blocks with room for one", got)
	}
	if _, ok := b.Arrived(ms, 1, testBlock(99)); ok {
		t.Error("a block that nobody wants is taken")
	}
	for address := uint64(2); address <= 4; address++ {
		b.Arrived(ms, 1, testBlock(address))
	}
	if _, ok := b.Arrived(ms, 1, testBlock(9)); !ok { // the one that was asked for last
		t.Error("what was asked for is not taken")
	}
	if _, ok := b.Arrived(ms, 1, testBlock(20)); ok {
		t.Error("a fifth block of one peer is held")
	}
}

// Goal: an address is named once in a request, as the codec demands.
func TestBlocksAddressOnce(t *testing.T) {
	b := connectedBlocks(0, 2)
	one, other := testBlock(1), testBlock(1)
	other.Checksum = wire.Checksum{9}
	b.Want(0, one)
	b.Want(0, other)
	for range 2 {
		if peer, _, count, ok := b.Ask(0, 0); !ok || peer != 1 || count != 1 {
			t.Fatalf("%d blocks are asked for in one request", count)
		}
	}
}

// Goal: the next peer is asked after 100 ms, or at once if the first one has not got the block, or
// sends another one. When all were asked, a round is over. The pause behind it doubles.
func TestBlocksRounds(t *testing.T) {
	b := connectedBlocks(0, 3)
	at := b.Want(0, testBlock(1))
	first, _, _, _ := b.Ask(0, 0)
	if got := askAll(&b, 99*ms); got != [6]int{} {
		t.Fatal("another peer is asked before 100 ms are over")
	}
	if next := b.NextNs(99 * ms); next != 100*ms {
		t.Fatalf("the next time is %d", next)
	}
	second, _, _, ok := b.Ask(100*ms, 0)
	if !ok || second == first {
		t.Fatal("no other peer is asked after 100 ms")
	}
	rounds := func(nowNs uint64, wantRounds, wantLost uint32, what string) {
		t.Helper()
		b.Expire(nowNs)
		if _, rounds, lost, ok := b.At(at); !ok || rounds != wantRounds || lost != wantLost {
			t.Fatalf("%s: %d rounds, lost in %d; want %d, %d", what, rounds, lost, wantRounds, wantLost)
		}
	}
	rounds(349*ms, 0, 0, "one peer may still answer")
	rounds(350*ms, 1, 0, "both were silent")
	if got := askAll(&b, 449*ms); got != [6]int{} {
		t.Fatal("nobody is asked in the pause")
	}
	for peer := 1; peer < 3; peer++ {
		asked, _, _, ok := b.Ask(450*ms, 0)
		if !ok {
			t.Fatal("the next peer is asked at once")
		}
		b.Missing(450*ms, asked, testBlock(1))
	}
	rounds(450*ms, 2, 1, "both have not got it")
	if next := b.NextNs(450 * ms); next != 650*ms {
		t.Fatalf("the pause ends at %d", next)
	}
	for range 2 {
		asked, _, _, _ := b.Ask(650*ms, 0)
		token, ok := b.Arrived(650*ms, asked, testBlock(1))
		if !ok {
			t.Fatal("the block is not taken")
		}
		b.Refused(650*ms, token)
	}
	rounds(650*ms, 3, 0, "both sent another block")
}

// Goal: a peer without a connection is not asked, and does not end a round. What was asked over a
// connection that ended is asked again.
func TestBlocksConnections(t *testing.T) {
	b := connectedBlocks(0, 3)
	b.Connected(0, 1, false)
	at := b.Want(0, testBlock(1))
	if got := askAll(&b, 0); got != [6]int{0, 0, 1} {
		t.Fatalf("asked for %v blocks", got)
	}
	b.Connected(ms, 2, false)
	if got := askAll(&b, 1000*ms); got != [6]int{} {
		t.Fatal("asked without a connection")
	}
	if _, rounds, _, _ := b.At(at); rounds != 0 {
		t.Fatal("a round ends although nobody was asked")
	}
	if next := b.NextNs(1000 * ms); next != ^uint64(0) {
		t.Fatalf("something is due at %d without a connection", next)
	}
	b.Connected(1001*ms, 2, true)
	if got := askAll(&b, 1001*ms); got != [6]int{0, 0, 1} {
		t.Fatalf("asked for %v blocks", got)
	}
	b.Missing(1001*ms, 2, testBlock(1))
	b.Expire(1001 * ms)
	if _, rounds, lost, _ := b.At(at); rounds != 1 || lost != 0 {
		t.Fatalf("%d rounds, lost in %d, while one replica is not connected", rounds, lost)
	}
}

// Goal: a want that ends and comes back takes over what is out. What is held for the one before
// ends it if it is written, and changes nothing if it is not.
func TestBlocksWantComesBack(t *testing.T) {
	b := connectedBlocks(0, 2)
	again := func() {
		b.Unwant(testBlock(1))
		b.Unwant(testBlock(1))
		if b.Want(0, testBlock(1)); b.Count() != 1 {
			t.Fatalf("%d wants", b.Count())
		}
	}
	b.Want(0, testBlock(1))
	b.Ask(0, 0)
	again()
	if got := askAll(&b, 0); got != [6]int{} {
		t.Fatal("a peer is asked again for what it may still send")
	}
	first, ok := b.Arrived(0, 1, testBlock(1))
	if !ok {
		t.Fatal("what is out for the want before is not taken")
	}
	again()
	if got := askAll(&b, 0); got != [6]int{0, 1} {
		t.Fatalf("asked for %v blocks", got)
	}
	second, ok := b.Arrived(0, 1, testBlock(1))
	if !ok {
		t.Fatal("what the new want asked for is not taken")
	}
	b.Refused(0, first)
	if _, ok := b.Arrived(0, 1, testBlock(1)); ok {
		t.Error("a third copy is taken while the second one is held")
	}
	again()
	if b.Repaired(second); b.Count() != 0 {
		t.Error("the block is written, and its want is left")
	}
}

// Goal: all peers that have room are chosen.
func TestBlocksAnyPeer(t *testing.T) {
	var chosen [6]int
	for i := range uint64(60) {
		b := connectedBlocks(2, 6)
		b.Want(0, testBlock(1))
		peer, _, _, _ := b.Ask(0, i<<58)
		chosen[peer]++
	}
	for i, count := range chosen {
		if (count == 0) != (i == 2) {
			t.Errorf("peer %d is chosen %d times: %v", i, count, chosen)
		}
	}
}
