package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
)

// cacheWays is how many places an account has in the cache.
const cacheWays = 8

// noEntry is no entry of the cache.
const noEntry = ^uint32(0)

// The state of an entry: ordinal+1 (0: it is empty), the epoch of the memtable with the account's
// last change, and whether it was used since the hand passed.
const (
	stateTagShift   = 32
	stateEpochShift = 1
	stateUsed       = 1

	epochNone = 0 // the trees have the account's last change, or there was none
	epochMax  = 1 << (stateTagShift - stateEpochShift)
)

// cache holds accounts in their current state, and finds them by ordinal and by id. What it drops
// is invisible: the memtables and trees have everything. Ordinals are dense, so the first accounts,
// up to the size of the cache, have a place of their own each; and they lie one behind the other,
// for a processor keeps 10,000 neighbours, but not 10,000 accounts at a distance of a power of two,
// which all want the same few places in its own caches.
type cache struct {
	count    uint32   // a multiple of cacheWays
	states   []uint64 // what else is known of an entry, in one word; cacheWays of a set together fill a line of a processor's cache
	hands    []uint8  // per set
	accounts []accounting.Account
	key      hashing.Key
	ids      idTable // of exactly the accounts that are here: id -> entry
}

func newCache(a *arena.Arena, key *hashing.Key, accountsMax uint32, full bool) *cache {
	const name = "account cache"
	bulk := arena.Bulk(arena.Cache, full)
	sets := max(accountsMax/cacheWays, 1)
	count := sets * cacheWays
	return &cache{
		count:    count,
		key:      *key,
		states:   arena.SliceWith[uint64](a, uint64(count), name, bulk),
		hands:    arena.SliceWith[uint8](a, uint64(sets), name, arena.Bulk(arena.Cache, false)),
		accounts: arena.SliceWith[accounting.Account](a, uint64(count), name, bulk),
		// A quarter full at most: then an id is nearly always in the line of memory where it is looked
		// for.
		ids: newIDTable(a, 2*count, 2*count, count, name, bulk),
	}
}

// home is the entry of an ordinal if it is free; the others of its set follow.
func (c *cache) home(ordinal accounting.AccountOrdinal) uint32 {
	if uint32(ordinal) < c.count { // as a rule, and a division takes its time
		return uint32(ordinal)
	}
	return uint32(ordinal) % c.count
}

// find returns the entry of an ordinal, or noEntry.
func (c *cache) find(ordinal accounting.AccountOrdinal) uint32 {
	home := c.home(ordinal)
	if state := &c.states[home]; *state>>stateTagShift == uint64(uint32(ordinal)+1) {
		*state |= stateUsed
		return home
	}
	return c.findAway(ordinal, home)
}

// findAway looks for an ordinal that is not at home.
//
//go:noinline
func (c *cache) findAway(ordinal accounting.AccountOrdinal, home uint32) uint32 {
	tag := uint64(uint32(ordinal) + 1)
	base := home &^ (cacheWays - 1)
	states := c.states[base : base+cacheWays : base+cacheWays]
	for way := range states {
		if states[way]>>stateTagShift == tag {
			states[way] |= stateUsed
			return base + uint32(way)
		}
	}
	return noEntry
}

// epoch is that of the memtable with the last change of the account in an entry.
func (c *cache) epoch(entry uint32) uint32 { return uint32(c.states[entry]) >> stateEpochShift }

func (c *cache) setEpoch(entry, epoch uint32) {
	c.states[entry] = c.states[entry]>>stateTagShift<<stateTagShift | uint64(epoch)<<stateEpochShift | stateUsed
}

// at tells which account is in an entry, and the epoch of its last change. False: the entry is
// empty.
func (c *cache) at(entry uint32) (ordinal accounting.AccountOrdinal, epoch uint32, ok bool) {
	state := c.states[entry]
	return accounting.AccountOrdinal(state>>stateTagShift - 1), uint32(state) >> stateEpochShift, state != 0
}

// findID returns the entry of an id, or noEntry.
func (c *cache) findID(id accounting.U128, hash uint64) uint32 {
	for at := hash; ; at++ {
		entry, ok := c.ids.probe(&at, hash)
		if !ok {
			return noEntry
		}
		if c.accounts[entry].ID == id {
			c.states[entry] |= stateUsed
			return entry
		}
	}
}

// guess returns the entry that an id with this hash most likely has: the account was not looked at.
func (c *cache) guess(hash uint64) uint32 {
	at := hash
	entry, _ := c.ids.probe(&at, hash)
	return entry // 0 for none: as good as any
}

// place returns the entry that an ordinal that is not in the cache will take. What is there has to
// go.
func (c *cache) place(ordinal accounting.AccountOrdinal) uint32 {
	entry := c.home(ordinal)
	set := entry / cacheWays
	base := set * cacheWays
	if c.states[entry] != 0 { // the home is taken: the hand looks for one that was not used lately
		for {
			hand := c.hands[set] % cacheWays
			c.hands[set] = hand + 1
			entry = base + uint32(hand)
			if c.states[entry]&stateUsed == 0 {
				break
			}
			c.states[entry] &^= stateUsed
		}
	}
	return entry
}

// put fills the place of an ordinal.
func (c *cache) put(entry uint32, ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) {
	assert.That(uint32(ordinal)+1 != 0, "account ordinals are not used up")
	c.clear(entry)
	c.states[entry] = uint64(uint32(ordinal)+1) << stateTagShift
	c.setEpoch(entry, epoch)
	c.accounts[entry] = *account
	c.ids.insert(hashID(&c.key, account.ID), entry)
}

// drop removes an ordinal: its account was rolled back.
func (c *cache) drop(ordinal accounting.AccountOrdinal) {
	if entry := c.find(ordinal); entry != noEntry {
		c.clear(entry)
	}
}

// clear empties an entry.
func (c *cache) clear(entry uint32) {
	if c.states[entry] != 0 {
		c.ids.remove(c.hash(entry), entry, c.hash)
		c.states[entry] = 0
	}
}

func (c *cache) hash(entry uint32) uint64 { return hashID(&c.key, c.accounts[entry].ID) }
