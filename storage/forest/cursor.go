package forest

import (
	"ledger/storage"
	"ledger/storage/block"
)

// cursorKeys is the number of keys that a cursor decodes at a time.
const cursorKeys = 64

// decodeGroup: decoding is cheap if it begins at a multiple of decodeGroup.
const decodeGroup = 32

// cursor walks the entries of one run. It holds decoded keys and no page, so no eviction of a page
// can invalidate it.
type cursor struct {
	f     *Forest
	tree  *tree
	run   *run
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

func newCursor() cursor {
	return cursor{keys: make([]storage.Key, cursorKeys), removals: make([]bool, cursorKeys)}
}

// open points the cursor at a run. seek sets its position.
func (c *cursor) open(f *Forest, id storage.TreeID, r *run) {
	c.f, c.tree, c.run, c.valid, c.count = f, &f.trees[id], r, false, 0
}

// tombstone tells whether the current entry removes its key.
func (c *cursor) tombstone() bool { return c.removals[c.at] }

func (c *cursor) set(at int) {
	c.at = at
	c.key = c.keys[at]
	c.valid = true
}

// load decodes keys of the current page, beginning with index first.
func (c *cursor) load(first, count int) {
	page := c.f.pages.Page(c.run.tables[c.table].Ref, c.page)
	c.first = first
	c.count = c.tree.shape.Decode(page, first, c.keys[:min(count, len(c.keys))])
	if c.tree.spec.Tombstones {
		for i := range c.count {
			c.removals[i] = c.tree.shape.Tombstone(page, first+i)
		}
	}
}

func (c *cursor) dataPages() uint32 {
	return block.HeaderPage(c.f.pages.Page(c.run.tables[c.table].Ref, 0)).DataPages()
}

// seek moves to the first entry whose key is at least key.
func (c *cursor) seek(key *storage.Key) {
	c.valid, c.count = false, 0
	c.table = c.run.search(key, fenceOf(key))
	if c.table == len(c.run.tables) {
		return
	}
	ref := c.run.tables[c.table].Ref
	c.page = c.tree.shape.PageFind(block.HeaderPage(c.f.pages.Page(ref, 0)), key)
	page := c.f.pages.Page(ref, c.page)
	index, _ := c.tree.shape.Search(page, key)
	if index == c.tree.shape.Count(page) {
		c.nextPage()
		return
	}
	c.load(index, cursorKeys-index%decodeGroup)
	c.set(0)
}

func (c *cursor) nextPage() {
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

// warmNext asks for the page behind the current one.
func (c *cursor) warmNext() {
	ref := c.run.tables[c.table].Ref
	if header := c.f.pages.Lookup(ref, 0); header != nil && c.page < block.HeaderPage(header).DataPages() {
		c.f.pages.Try(ref, c.page+1)
	}
}

// next moves to the next entry.
func (c *cursor) next() {
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
