package levels

import (
	"ledger/internal/arena"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/pages"
)

// cursorKeys is the number of keys that a cursor decodes at a time.
const cursorKeys = 64

// decodeGroup: decoding is cheap if it begins at a multiple of decodeGroup.
const decodeGroup = 32

// Cursor walks the entries of one run. It holds decoded keys and no page, so no eviction of a page
// can invalidate it.
type Cursor struct {
	pages *pages.Reader
	tree  *Tree
	run   *Run
	valid bool
	key   storage.Key // the current entry, if valid

	table    int
	page     uint32
	first    int // index in the page of keys[0]
	at       int // index in keys of the current entry
	keys     []storage.Key
	count    int
	removals []bool
}

// NewCursor returns a cursor, which is used for one run after the other.
func NewCursor() Cursor {
	return Cursor{keys: make([]storage.Key, cursorKeys), removals: make([]bool, cursorKeys)}
}

// NewCursors returns a cursor for each of many runs. Most trees have few runs, so load touches
// little of the memory that is reserved for their keys.
func NewCursors(a *arena.Arena, count int, name string) []Cursor {
	cursors := make([]Cursor, count)
	keys := arena.SliceWith[storage.Key](a, uint64(count*cursorKeys), name, arena.Options{Class: arena.Table})
	removals := arena.SliceWith[bool](a, uint64(count*cursorKeys), name, arena.Options{Class: arena.Table})
	for i := range cursors {
		from, to := i*cursorKeys, (i+1)*cursorKeys
		cursors[i] = Cursor{keys: keys[from:to:to], removals: removals[from:to:to]}
	}
	return cursors
}

// Open points the cursor at a run of a tree. Seek sets its position.
func (c *Cursor) Open(s *Levels, id storage.TreeID, r *Run) {
	c.pages, c.tree, c.run, c.valid, c.count = s.pages, &s.trees[id], r, false, 0
}

// IsValid tells whether there is a current entry. There is none behind the last one.
func (c *Cursor) IsValid() bool { return c.valid }

// Key is the key of the current entry.
func (c *Cursor) Key() *storage.Key { return &c.key }

// BeginsPage tells whether the current entry is the first of its page.
func (c *Cursor) BeginsPage() bool { return c.first == 0 && c.at == 0 }

// Tombstone tells whether the current entry removes its key.
func (c *Cursor) Tombstone() bool { return c.removals[c.at] }

func (c *Cursor) set(at int) {
	c.at = at
	c.key = c.keys[at]
	c.valid = true
}

// load decodes keys of the current page, beginning with index first.
func (c *Cursor) load(first, count int) {
	page := c.pages.Page(c.run.tables[c.table].Ref, c.page)
	c.first = first
	c.count = c.tree.shape.Decode(page, first, c.keys[:min(count, len(c.keys))])
	if c.tree.spec.Tombstones {
		for i := range c.count {
			c.removals[i] = c.tree.shape.Tombstone(page, first+i)
		}
	}
}

func (c *Cursor) dataPages() uint32 {
	return block.HeaderPage(c.pages.Page(c.run.tables[c.table].Ref, 0)).DataPages()
}

// Seek moves to the first entry whose key is at least key.
func (c *Cursor) Seek(key *storage.Key) {
	c.valid, c.count = false, 0
	c.table = c.run.search(key, fenceOf(key))
	if c.table == len(c.run.tables) {
		return
	}
	ref := c.run.tables[c.table].Ref
	c.page = c.tree.shape.PageFind(block.HeaderPage(c.pages.Page(ref, 0)), key)
	page := c.pages.Page(ref, c.page)
	index, _ := c.tree.shape.Search(page, key)
	if index == c.tree.shape.Count(page) {
		c.nextPage()
		return
	}
	c.load(index, cursorKeys-index%decodeGroup)
	c.set(0)
}

func (c *Cursor) nextPage() {
	c.valid = false
	c.page++
	if c.page > c.dataPages() {
		c.table++
		if c.table == len(c.run.tables) {
			return
		}
		c.page = 1
	}
	c.load(0, cursorKeys)
	c.set(0)
}

// WarmNext asks for the page behind the current one.
func (c *Cursor) WarmNext() {
	ref := c.run.tables[c.table].Ref
	if header := c.pages.Lookup(ref, 0); header != nil && c.page < block.HeaderPage(header).DataPages() {
		c.pages.Try(ref, c.page+1)
	}
}

// Next moves to the next entry.
func (c *Cursor) Next() {
	if c.at+1 < c.count {
		c.set(c.at + 1)
		return
	}
	c.load(c.first+c.count, cursorKeys)
	if c.count == 0 {
		c.nextPage()
		return
	}
	c.set(0)
}
