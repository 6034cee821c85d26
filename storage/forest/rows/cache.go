package rows

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/storage/forest/ids"
)

// cacheWays is the number of places that an account can have in the cache.
const cacheWays = 8

// noEntry stands for no entry of the cache.
const noEntry = ^uint32(0)

// The state of an entry: ordinal+1 (0: the entry is empty), the epoch of the memtable with the
// account's last change, and a bit that the account was used since the hand passed.
const (
	stateTagShift   = 32
	stateEpochShift = 1
	stateUsed       = 1

	epochNone = 0 // the trees have the account's last change, or there was none
	epochMax  = 1 << (stateTagShift - stateEpochShift)
)

// cache holds accounts in their current state and finds them by ordinal and by id. Dropping an
// account is always correct, because memtables and trees have all accounts.
//
// Ordinals are dense. So each of the first accounts, up to the size of the cache, has a place of
// its own, and they lie one behind the other. A processor's cache keeps 10,000 neighbours. It does
// not keep 10,000 accounts at a distance of a power of two, which would all compete for the same
// few places.
type cache struct {
	count    uint32   // a multiple of cacheWays
	states   []uint64 // state of each entry; the states of a set fill one cache line
	hands    []uint8  // per set
	accounts []accounting.Account
	key      hashing.Key
	ids      ids.Table // id -> entry, of exactly the accounts that are here
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
		// The table is at most a quarter full. An id is then nearly always in the first cache line.
		ids: ids.NewTable(a, 2*count, 2*count, count, name, bulk),
	}
}

// home is the entry that an ordinal takes if it is free. The other entries of its set come next.
func (c *cache) home(ordinal accounting.AccountOrdinal) uint32 {
	if uint32(ordinal) < c.count { // the usual case, without a division
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

// findAway looks for an ordinal that is not in its home entry.
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

// epoch is the epoch of the memtable with the last change of the account in an entry.
func (c *cache) epoch(entry uint32) uint32 { return uint32(c.states[entry]) >> stateEpochShift }

func (c *cache) setEpoch(entry, epoch uint32) {
	c.states[entry] = c.states[entry]>>stateTagShift<<stateTagShift | uint64(epoch)<<stateEpochShift | stateUsed
}

// at returns the account in an entry and the epoch of its last change. ok is false for an empty
// entry.
func (c *cache) at(entry uint32) (ordinal accounting.AccountOrdinal, epoch uint32, ok bool) {
	state := c.states[entry]
	return accounting.AccountOrdinal(state>>stateTagShift - 1), uint32(state) >> stateEpochShift, state != 0
}

// findID returns the entry of an id, or noEntry.
func (c *cache) findID(id accounting.U128, hash uint64) uint32 {
	for at := hash; ; at++ {
		entry, ok := c.ids.Probe(&at, hash)
		if !ok {
			return noEntry
		}
		if c.accounts[entry].ID == id {
			c.states[entry] |= stateUsed
			return entry
		}
	}
}

// guess returns the entry that an id with this hash most likely has. It does not look at the
// account.
func (c *cache) guess(hash uint64) uint32 {
	at := hash
	entry, _ := c.ids.Probe(&at, hash)
	return entry // 0 for none: any guess is allowed
}

// place returns the entry that an ordinal will take that is not in the cache. The caller has to
// remove the account that is there.
func (c *cache) place(ordinal accounting.AccountOrdinal) uint32 {
	entry := c.home(ordinal)
	set := entry / cacheWays
	base := set * cacheWays
	if c.states[entry] != 0 { // the home is taken: the hand looks for an entry not used lately (CLOCK)
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

// put fills an entry that place returned.
func (c *cache) put(entry uint32, ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) {
	assert.That(uint32(ordinal)+1 != 0, "account ordinals are not used up")
	c.clear(entry)
	c.states[entry] = uint64(uint32(ordinal)+1) << stateTagShift
	c.setEpoch(entry, epoch)
	c.accounts[entry] = *account
	c.ids.Insert(ids.Hash(&c.key, account.ID), entry)
}

// drop removes an ordinal whose account was rolled back.
func (c *cache) drop(ordinal accounting.AccountOrdinal) {
	if entry := c.find(ordinal); entry != noEntry {
		c.clear(entry)
	}
}

// clear empties an entry.
func (c *cache) clear(entry uint32) {
	if c.states[entry] != 0 {
		c.ids.Remove(c.hash(entry), entry, c.hash)
		c.states[entry] = 0
	}
}

func (c *cache) hash(entry uint32) uint64 { return ids.Hash(&c.key, c.accounts[entry].ID) }

// check asserts that every account in the cache, and no other account, is found by its id.
func (c *cache) check() {
	count := uint32(0)
	for entry := range c.count {
		if _, _, ok := c.at(entry); ok {
			count++
			state := c.states[entry]
			assert.Equal(c.findID(c.accounts[entry].ID, c.hash(entry)), entry, "an account in the cache is found by its id")
			c.states[entry] = state // restore the bit of use
		}
	}
	assert.Equal(c.ids.Count(), count, "ids of the cache are its accounts'")
}

// reset removes all accounts.
func (c *cache) reset() {
	clear(c.states)
	clear(c.hands)
	c.ids.Reset()
}
