package freeset

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/arena"
)

// model is the naive set: a state per address.
type model struct {
	state map[uint64]state
	max   uint64
}

type state uint8

const (
	fresh state = iota + 1 // acquired, never named
	named
	waitsBar
	waitsThis
	waitsNext
)

func (m *model) acquire(n int) (out []uint64) {
	for a := uint64(1); a <= m.max && len(out) < n; a++ {
		if m.state[a] == 0 {
			out = append(out, a)
		}
	}
	if len(out) < n {
		return nil
	}
	for _, a := range out {
		m.state[a] = fresh
	}
	return out
}

func (m *model) change(from, to state) {
	for a, s := range m.state {
		if s == from {
			if to == 0 {
				delete(m.state, a)
			} else {
				m.state[a] = to
			}
		}
	}
}

// Random bars, releases and checkpoints give the same addresses as the model, also after a restart
// from a checkpoint.
func TestSetAgainstModel(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		max := 100 + rng.Uint64N(2000)
		s, m := New(memory, max), &model{map[uint64]state{}, max}
		capturedBars := -1
		for bar := range 300 {
			s.BarEnd()
			m.change(waitsBar, 0)
			var releasable []uint64
			for a, st := range m.state {
				if st == fresh || st == named {
					releasable = append(releasable, a)
				}
			}
			slices.Sort(releasable)
			for _, a := range releasable {
				switch {
				case rng.IntN(8) == 0:
					s.Release(a)
					if m.state[a] == named {
						m.state[a] = waitsNext
					} else {
						m.state[a] = waitsBar
					}
				case rng.IntN(50) == 0 && m.state[a] == fresh:
					s.GiveBack(a)
					delete(m.state, a)
				}
			}
			if capturedBars < 0 && rng.IntN(5) == 0 {
				capturedBars = 0
				s.Capture()
				m.change(waitsNext, waitsThis)
				m.change(fresh, named)
				encoded := make([]byte, s.EncodedBytesMax())
				encoded = encoded[:s.Encode(encoded)]
				if rng.IntN(2) == 0 { // a restart
					other := New(memory, max)
					if err := other.Decode(encoded); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					again := make([]byte, other.EncodedBytesMax())
					if again = again[:other.Encode(again)]; !bytes.Equal(again, encoded) {
						t.Fatalf("seed %d: encoding differs after a restart", seed)
					}
					s = other
				}
			} else if capturedBars == 3 {
				capturedBars = -1
				s.Durable()
				m.change(waitsThis, 0)
			} else if capturedBars >= 0 {
				capturedBars++
			}
			n := rng.IntN(int(max / 10))
			want, got := m.acquire(n), make([]uint64, n)
			if ok := s.Acquire(got); ok != (want != nil || n == 0) || ok && !slices.Equal(got, want) {
				t.Fatalf("seed %d bar %d: acquired %v, want %v", seed, bar, got, want)
			}
			if s.AcquiredCount() != uint64(len(m.state)) {
				t.Fatalf("seed %d bar %d: %d acquired, want %d", seed, bar, s.AcquiredCount(), len(m.state))
			}
		}
	}
}

// The last address is given, and none behind it.
func TestAcquireFull(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	s := New(memory, 130)
	out := make([]uint64, 130)
	if !s.Acquire(out) || out[129] != 130 || s.Acquire(out[:1]) || !s.Acquire(nil) {
		t.Fatal("130 addresses, and no more")
	}
	s.GiveBack(64)
	if !s.Acquire(out[:1]) || out[0] != 64 {
		t.Fatalf("got %d, want 64", out[0])
	}
}

// No bytes make Decode panic, and what it takes has only one encoding's worth of meaning.
func FuzzDecode(f *testing.F) {
	memory := arena.New()
	s := New(memory, 1000)
	s.Acquire(make([]uint64, 500))
	s.GiveBack(200)
	s.Capture()
	encoded := make([]byte, s.EncodedBytesMax())
	f.Add(encoded[:s.Encode(encoded)])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		memory := arena.New()
		defer memory.Close()
		s := New(memory, 1000)
		if s.Decode(data) != nil {
			return
		}
		out := make([]byte, s.EncodedBytesMax())
		out = out[:s.Encode(out)]
		other := New(memory, 1000)
		if err := other.Decode(out); err != nil || other.AcquiredCount() != s.AcquiredCount() || other.WaitingCount() != s.WaitingCount() {
			t.Fatalf("decoded set does not survive its own encoding: %v", err)
		}
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	memory := arena.New()
	defer memory.Close()
	s := New(memory, 1<<20)
	out := make([]uint64, 64)
	s.Acquire(make([]uint64, 8000)) // a file of 4 GiB
	b.ReportAllocs()
	for b.Loop() {
		s.Acquire(out)
		for _, a := range out {
			s.Release(a)
		}
		s.BarEnd()
	}
}

// The encoding's bytes are fixed: high, then markers and literal words of three bitmaps.
func TestFormatIsFixed(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	s := New(memory, 1000)
	out := make([]uint64, 400)
	s.Acquire(out)
	s.GiveBack(70)
	s.Release(300) // never named: waits for the next bar's end
	s.Capture()
	s.Durable()
	s.Release(5) // named: waits for the next checkpoint
	s.Capture()
	encoded := make([]byte, s.EncodedBytesMax())
	encoded = encoded[:s.Encode(encoded)]
	var want []byte
	for _, word := range []uint64{
		400,
		2 << 32, ^uint64(0), ^uint64(1 << 5), // addresses 1..128 without 70: no fill of two words
		1 | 4<<1 | 1<<32, 1<<16 - 1, // 129..384, then 385..400
		4<<1 /* zeros */ | 1<<32, 1 << (299 % 64), 2 << 1, // 300 waits for the bar's end
		1 << 32, 1 << 4, 6 << 1, // 5 waits for the checkpoint
	} {
		want = binary.LittleEndian.AppendUint64(want, word)
	}
	if !bytes.Equal(encoded, want) {
		t.Fatalf("encoded\n%x, want\n%x", encoded, want)
	}
}
