package sim

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Cuts makes the run of a seed smaller than it was drawn. What a seed draws stays the same up to
// the first thing that is left out; behind it, the run is another one. A nil *Cuts cuts nothing.
type Cuts struct {
	Ops     int    // the faults end when so many ops are committed
	Strikes int    // at most so many faults of a cluster, or crashes of a single replica
	Clients int    // at most so many
	Without uint32 // bits of the things that do not happen; bit i is that of cutNames[i]
}

// cutNames names what can be left out: the kinds of strikes, in their order, and then the faults
// that go on all the time.
var cutNames = append(strikeNames[:], "loss", "damage", "strangers", "spoiled blocks", "lost files", "upgrade", "attacks")

// Bits of Cuts.Without behind those of the kinds of strikes.
const (
	withoutLoss      = 1 << (uint(strikesCount) + iota) // paths lose, delay and change what they carry
	withoutDamage                                       // logs are damaged while their machines are down
	withoutStrangers                                    // connections break, clients die, strangers come
	withoutSpoiled                                      // blocks are damaged
	withoutLosses                                       // data files are lost
	withoutUpgrades                                     // machines get programs of the next release
	withoutAttacks                                      // an attacker sends as a replica
)

func (c *Cuts) ops(drawn int) int {
	if c == nil {
		return drawn
	}
	return min(drawn, max(c.Ops, 1))
}

func (c *Cuts) strikes(drawn int) int {
	if c == nil {
		return drawn
	}
	return min(drawn, c.Strikes)
}

func (c *Cuts) clients(drawn int) int {
	if c == nil {
		return drawn
	}
	return min(drawn, max(c.Clients, 1))
}

// has tells whether a thing happens that was drawn.
func (c *Cuts) has(drawn bool, without uint32) bool {
	return drawn && (c == nil || c.Without&without == 0)
}

// mix leaves out what does not happen. A mix without any kind of strike has no strikes.
func (c *Cuts) mix(m mix) (cut mix, isEmpty bool) {
	isEmpty = true
	for i := range m.weights {
		if !c.has(true, 1<<i) {
			m.weights[i] = 0
		}
		isEmpty = isEmpty && m.weights[i] == 0
	}
	m.isLossy, m.isDamage = c.has(m.isLossy, withoutLoss), c.has(m.isDamage, withoutDamage)
	m.isRough, m.isSpoiled = c.has(m.isRough, withoutStrangers), c.has(m.isSpoiled, withoutSpoiled)
	return m, isEmpty
}

// String is what ParseCuts reads.
func (c *Cuts) String() string {
	text := fmt.Sprintf("ops=%d,strikes=%d,clients=%d", c.Ops, c.Strikes, c.Clients)
	for set := c.Without; set != 0; set &= set - 1 {
		text += ",without=" + cutNames[bits.TrailingZeros32(set)]
	}
	return text
}

// ParseCuts reads ops=N,strikes=N,clients=N and any number of without=NAME, with commas between.
func ParseCuts(text string) (*Cuts, error) {
	c := &Cuts{}
	numbers := map[string]*int{"ops": &c.Ops, "strikes": &c.Strikes, "clients": &c.Clients}
	seen := 0
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		if key == "without" {
			at := slices.Index(cutNames, value)
			if at < 0 {
				return nil, fmt.Errorf("cuts %q: nothing has the name %q; names: %s", text, value, strings.Join(cutNames, ", "))
			}
			c.Without |= 1 << at
			continue
		}
		to := numbers[key]
		n, err := strconv.Atoi(value)
		if to == nil || err != nil || n < 0 {
			return nil, fmt.Errorf("cuts %q: %q is none of ops=N, strikes=N, clients=N and without=NAME", text, part)
		}
		delete(numbers, key)
		*to = n
		seen++
	}
	if seen < 3 {
		return nil, fmt.Errorf("cuts %q: want ops=N, strikes=N and clients=N, and any number of without=NAME", text)
	}
	return c, nil
}
