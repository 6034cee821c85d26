package vsr

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
)

// blocksModel follows a BlockBudget with plain lists, and holds it to the rules.
type blocksModel struct {
	t      *testing.T
	b      BlockBudget
	random *rand.Rand
	seed   uint64
	nowNs  uint64
	peers  int
	live   map[int]bool
	wants  map[Block]*modelWant
	out    []modelOut // questions that may still be answered
	held   []modelHeld
	rounds int
}

type modelWant struct {
	at          int
	asked       map[int]bool
	lastAskedNs uint64
	mayAskSoon  bool // the last question was answered, or cannot be any more
	isHeld      bool
}

type modelOut struct {
	peer    int
	block   Block
	request int
	sentNs  uint64
}

type modelHeld struct {
	token BlockToken
	block Block
	want  *modelWant
}

func (m *blocksModel) failf(format string, values ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d, at %d ms: %s", m.seed, m.nowNs/ms, fmt.Sprintf(format, values...))
}

// drop removes questions, and lets their wants ask at once if nobody else may answer.
func (m *blocksModel) drop(is func(o modelOut) bool) {
	var kept []modelOut
	var dropped []modelOut
	for _, o := range m.out {
		if is(o) {
			dropped = append(dropped, o)
		} else {
			kept = append(kept, o)
		}
	}
	m.out = kept
	for _, o := range dropped {
		if w := m.wants[o.block]; w != nil && !m.isOut(o.block) {
			w.mayAskSoon = true
		}
	}
}

func (m *blocksModel) isOut(block Block) bool {
	for _, o := range m.out {
		if o.block == block {
			return true
		}
	}
	return false
}

func (m *blocksModel) expire() {
	m.drop(func(o modelOut) bool { return m.nowNs >= o.sentNs+blockExpiryNs })
}

// endRounds follows the rounds that the budget counts.
func (m *blocksModel) endRounds() {
	for block, w := range m.wants {
		_, rounds, _, ok := m.b.At(w.at)
		if !ok {
			m.failf("the want of block %d is gone", block.Address)
		}
		isOver := !w.isHeld && len(w.asked) > 0 && !m.isOut(block)
		for peer := range m.live {
			isOver = isOver && w.asked[peer]
		}
		if !isOver {
			continue
		}
		if rounds == 0 {
			m.failf("the round of block %d does not end", block.Address)
		}
		w.asked, w.mayAskSoon = map[int]bool{}, false
		m.rounds++
	}
}

func (m *blocksModel) ask() {
	m.expire()
	m.b.Expire(m.nowNs)
	m.endRounds()
	for request := m.random.Int(); ; request++ {
		peer, names, count, ok := m.b.Ask(m.nowNs, m.random.Uint64())
		if !ok {
			break
		}
		if !m.live[peer] || count == 0 || count > BlocksPerRequest {
			m.failf("peer %d is asked for %d blocks", peer, count)
		}
		for i := range names {
			if i >= count {
				if names[i] != (Block{}) {
					m.failf("a name behind the count")
				}
				continue
			}
			w := m.wants[names[i]]
			switch {
			case w == nil || w.isHeld:
				m.failf("block %d is asked for, and is not missing", names[i].Address)
			case w.asked[peer]:
				m.failf("block %d is asked twice of peer %d in one round", names[i].Address, peer)
			case !w.mayAskSoon && w.lastAskedNs > 0 && m.nowNs < w.lastAskedNs+blockAgainNs:
				m.failf("block %d is asked again after %d ns", names[i].Address, m.nowNs-w.lastAskedNs)
			}
			for _, o := range m.out {
				if o.peer == peer && o.block == names[i] {
					m.failf("block %d is asked of peer %d, which may still answer", names[i].Address, peer)
				}
			}
			w.asked[peer], w.lastAskedNs, w.mayAskSoon = true, m.nowNs, false
			m.out = append(m.out, modelOut{peer, names[i], request, m.nowNs})
		}
		requests, blocks := map[int]bool{}, 0
		for _, o := range m.out {
			if o.peer == peer {
				requests[o.request] = true
				blocks++
			}
		}
		for _, h := range m.held {
			if h.token.from == peer {
				blocks++
			}
		}
		if len(requests) > blockRequestsMax || blocks > testHeldMax {
			m.failf("peer %d: %d requests are out, %d blocks asked for or held", peer, len(requests), blocks)
		}
	}
	if next := m.b.NextNs(m.nowNs); next <= m.nowNs {
		m.failf("a time that is due is not done with")
	}
}

// answer plays a peer's answer to a question, late ones included.
func (m *blocksModel) answer(o modelOut, isHere bool) {
	w := m.wants[o.block]
	m.drop(func(other modelOut) bool { return other.peer == o.peer && other.block == o.block })
	if !isHere {
		m.b.Missing(m.nowNs, o.peer, o.block)
		return
	}
	held := 0
	for _, h := range m.held {
		if h.token.from == o.peer {
			held++
		}
	}
	token, ok := m.b.Arrived(m.nowNs, o.peer, o.block)
	if want := w != nil && !w.isHeld && held < testHeldMax; ok != want {
		m.failf("block %d of peer %d is taken: %v, want %v", o.block.Address, o.peer, ok, want)
	}
	if ok {
		w.isHeld = true
		m.held = append(m.held, modelHeld{token, o.block, w})
	}
}

func (m *blocksModel) settle(i int, isRight bool) {
	h := m.held[i]
	m.held = append(m.held[:i], m.held[i+1:]...)
	if !isRight {
		m.b.Refused(m.nowNs, h.token)
		if m.wants[h.block] == h.want {
			h.want.isHeld, h.want.mayAskSoon = false, true
		}
		return
	}
	m.b.Repaired(h.token)
	delete(m.wants, h.block)
}

func (m *blocksModel) want(block Block) {
	if m.wants[block] != nil || len(m.wants) == BlockWantsMax {
		return
	}
	m.expire()
	w := &modelWant{at: m.b.Want(m.nowNs, block), asked: map[int]bool{}}
	for _, o := range m.out {
		if o.block == block {
			w.asked[o.peer] = true
		}
	}
	m.wants[block] = w
}

func (m *blocksModel) act() {
	r := m.random
	block := testBlock(uint64(1 + r.IntN(100)))
	switch r.IntN(12) {
	case 0, 1, 2:
		m.want(block)
	case 3:
		m.b.Unwant(block)
		delete(m.wants, block)
	case 4, 5, 6:
		if len(m.out) > 0 {
			m.answer(m.out[r.IntN(len(m.out))], r.IntN(3) > 0)
		}
	case 7, 8:
		if len(m.held) > 0 {
			m.settle(r.IntN(len(m.held)), r.IntN(4) > 0)
		}
	case 9:
		m.answer(modelOut{peer: 1 + r.IntN(m.peers), block: block}, r.IntN(2) > 0) // late, or nobody asked
	case 10:
		if peer := 1 + r.IntN(m.peers); r.IntN(3) == 0 {
			m.connect(peer, r.IntN(2) > 0)
		}
	case 11:
		m.nowNs += uint64(r.IntN(120)) * ms
	}
	m.ask()
	if m.b.Count() != len(m.wants) {
		m.failf("%d wants, the model has %d", m.b.Count(), len(m.wants))
	}
}

func (m *blocksModel) connect(peer int, isLive bool) {
	m.drop(func(o modelOut) bool { return o.peer == peer })
	for _, w := range m.wants {
		delete(w.asked, peer)
	}
	if delete(m.live, peer); isLive {
		m.live[peer] = true
	}
	m.b.Connected(m.nowNs, peer, isLive)
}

// Goal: whatever peers do, requests keep to the bounds, and no peer is asked twice in a round. When
// one peer has all blocks, and the others say nothing, all wants end.
func TestBlocksModel(t *testing.T) {
	rounds, seeds := 0, seeded.Rand(t)
	for range 150 {
		seed := seeds.Uint64()
		random := rand.New(rand.NewPCG(seed, 1))
		m := &blocksModel{t: t, nowNs: ms, random: random, seed: seed, peers: 1 + random.IntN(5), live: map[int]bool{},
			wants: map[Block]*modelWant{}}
		m.b = NewBlockBudget(0, m.peers+1, testHeldMax)
		for range 400 {
			m.act()
		}
		for peer := 1; peer <= m.peers; peer++ {
			if !m.live[peer] {
				m.connect(peer, true)
			}
		}
		good := 1 + random.IntN(m.peers)
		for until := m.nowNs + 60_000*ms; len(m.wants) > 0; {
			if m.nowNs > until {
				m.failf("%d wants are left, although peer %d has the blocks", len(m.wants), good)
			}
			for len(m.held) > 0 {
				m.settle(0, true)
			}
			for i := 0; i < len(m.out); i++ {
				if m.out[i].peer == good {
					m.answer(m.out[i], true)
					i--
				}
			}
			m.ask()
			if len(m.held) == 0 {
				m.nowNs = min(m.b.NextNs(m.nowNs), m.nowNs+1000*ms)
			}
		}
		rounds += m.rounds
	}
	if rounds < 500 {
		t.Errorf("%d rounds in all", rounds)
	}
}
