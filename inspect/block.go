package inspect

import (
	"fmt"
	"io"
	"strings"

	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
)

// Block is one block of the grid, whether the checkpoint names it or not.
type Block struct {
	Address uint64 `json:"address"`
	Offset  uint64 `json:"offset"`
	// Named says as what the checkpoint names the block, "" if it does not. A block that is not
	// named is free, or of the time after the checkpoint.
	Named    string `json:"named"`
	Table    *Table `json:"table,omitempty"`
	Reason   string `json:"reason,omitempty"` // why the header page is wrong; then there are no fields and pages
	Header   Fields `json:"header,omitempty"`
	Pages    []Page `json:"pages,omitempty"`
	Damaged  int    `json:"damaged_pages"`
	Changed  bool   `json:"changed"`
	isNeeded bool
}

// Page of a block, from page 1 on.
type Page struct {
	Page       uint32 `json:"page"`
	Kind       string `json:"kind"` // data, filter, content
	Offset     uint64 `json:"offset"`
	Checksum   string `json:"checksum"`
	FirstEntry uint32 `json:"first_entry"`
	FirstKey   string `json:"first_key,omitempty"`
	Reason     string `json:"reason,omitempty"` // why it is wrong
}

// IsDamaged tells whether the checkpoint needs the block, and it is damaged.
func (r *Block) IsDamaged() bool { return r.isNeeded && (r.Reason != "" || r.Damaged > 0) }

// Block reads the block at address, and verifies its pages.
//
// error: there is no block at this address.
func (f *File) Block(address uint64) (*Block, error) {
	blocks := (f.sizeBytes - min(f.sizeBytes, f.layout.GridAt)) / uint64(f.limits.BlockBytes)
	if blocks == 0 {
		return nil, fmt.Errorf("block %d: the grid has no blocks yet", address)
	}
	if address == 0 || address > blocks {
		return nil, fmt.Errorf("block %d: the file has blocks 1 to %d", address, blocks)
	}
	var r *Block
	changed, err := f.settled(func(s *datafile.Copy) string {
		r = f.block(s, address)
		if !r.IsDamaged() {
			return ""
		}
		return fmt.Sprintf("%+v", *r)
	})
	if err != nil {
		return nil, err
	}
	r.Changed = changed
	return r, nil
}

func (f *File) block(s *datafile.Copy, address uint64) *Block {
	r := &Block{Address: address, Offset: f.blockOffset(address)}
	c := f.read(s)
	var owner *named
	for i := range c.blocks {
		if n := &c.blocks[i]; n.ref.Address == address {
			owner = n
			break
		}
	}
	buffer := f.scratch[:f.limits.BlockBytes]
	page := buffer[:f.limits.PageBytes]
	isRead := f.file.ReadAt(buffer, r.Offset) == nil
	if !isRead { // page by page: the others may be whole
		if err := f.file.ReadAt(page, r.Offset); err != nil {
			r.Reason, r.isNeeded = err.Error(), owner != nil
			return r
		}
	}
	h := block.HeaderPage(page)
	ref := storage.Ref{Address: address, Checksum: h.Checksum()} // a block that nobody names can only agree with itself
	if owner != nil {
		ref, r.isNeeded = owner.ref, true
		r.Named = "trailer " + owner.treeName()
		if owner.table != nil {
			named := f.tableOf(owner.table)
			r.Table, r.Named = &named, fmt.Sprintf("table of %s, %s", named.Tree, named.place())
		}
	}
	if isZero(page) && owner == nil {
		r.Reason = "it was never written"
		return r
	}
	if r.Reason = block.VerifyHeader(&f.geometry, page, ref, s.Cluster); r.Reason != "" {
		return r
	}
	r.Header, r.Pages = blockFields(h), []Page{}
	keyBytes := storage.KeyBytesMax
	if h.Kind() == block.KindTable && h.Tree() < storage.TreesCount {
		keyBytes = int(storage.Trees[h.Tree()].KeyBytes)
	}
	for number := uint32(1); number < h.PagesUsed(); number++ {
		data := buffer[number*f.limits.PageBytes:][:f.limits.PageBytes]
		p := Page{Page: number, Kind: "content", Offset: r.Offset + uint64(number)*uint64(f.limits.PageBytes),
			Checksum: hexOf(h.PageChecksum(number)), FirstEntry: h.FirstEntry(number)}
		if !isRead {
			if err := f.file.ReadAt(data, p.Offset); err != nil {
				p.Reason = err.Error()
			}
		}
		if p.Reason == "" {
			p.Reason = block.VerifyPage(h, number, data)
		}
		switch {
		case h.Kind() == block.KindTable && number > h.DataPages():
			p.Kind = "filter"
		case h.Kind() == block.KindTable:
			p.Kind, p.FirstKey = "data", fmt.Sprintf("%x", h.FirstKey(number)[:keyBytes])
		}
		if p.Reason != "" {
			r.Damaged++
		}
		r.Pages = append(r.Pages, p)
	}
	return r
}

func blockFields(h block.HeaderPage) Fields {
	kind, tree := "trailer", fmt.Sprint(h.Tree())
	switch {
	case h.Kind() == block.KindTable:
		kind = "table"
		if h.Tree() < storage.TreesCount {
			tree = storage.Trees[h.Tree()].Name
		}
	case uint8(h.Tree()) < uint8(storage.TrailersCount):
		tree = storage.TrailerNames[h.Tree()]
	}
	return Fields{
		{"checksum", hexOf(h.Checksum())},
		{"kind", kind},
		{"tree", tree},
		{"partial", h.Partial()},
		{"pages_used", h.PagesUsed()},
		{"filter_pages", h.FilterPages()},
		{"entries", h.Entries()},
		{"content_bytes", h.ContentBytes()},
	}
}

// Text implements Report.
func (r *Block) Text(out io.Writer) {
	named := r.Named
	if named == "" {
		named = "the checkpoint does not name it: it is free, or of the time after the checkpoint"
	}
	fmt.Fprintf(out, "block %d, offset %d: %s\n", r.Address, r.Offset, named)
	if r.Reason != "" {
		fmt.Fprintf(out, "header page: %s\n", r.Reason)
	}
	table(out, func(row func(cells ...any)) {
		for _, field := range r.Header {
			row(field.Name, field.Value)
		}
	})
	table(out, func(row func(cells ...any)) {
		if len(r.Pages) > 0 {
			row("page", "kind", "offset", "checksum", "first entry", "first key", "")
		}
		for i := range r.Pages {
			p := &r.Pages[i]
			state := "right"
			if p.Reason != "" {
				state = "damaged: " + strings.TrimPrefix(p.Reason, "the page's ")
			}
			row(p.Page, p.Kind, p.Offset, p.Checksum, p.FirstEntry, p.FirstKey, state)
		}
	})
	textChanged(out, r.Changed)
}
