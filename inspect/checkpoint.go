package inspect

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/storage/forest/manifest"
)

// named is a block that a checkpoint names.
type named struct {
	ref     storage.Ref
	trailer storage.TrailerKind
	table   *manifest.Table // nil for a block of a trailer
	fault   *storage.Fault  // of a trailer: it was found when the trailer was read
}

// treeName is the tree of a table, or the trailer.
func (n *named) treeName() string {
	if n.table != nil {
		return storage.Trees[n.table.Tree].Name
	}
	return storage.TrailerNames[n.trailer]
}

// contents is everything that a checkpoint names.
type contents struct {
	blocks   []named                       // trailers by kind, each from its root on; then tables in the order of the manifest
	trailers [storage.TrailersCount][]byte // nil if a block of it is damaged
	damage   []Damage                      // what is wrong beside the blocks
}

// read reads the trailers of the checkpoint. Blocks of trailers are verified, tables are not read.
func (f *File) read(s *datafile.Copy) *contents {
	c := &contents{}
	checkpoint := &s.Checkpoint
	for kind := range storage.TrailersCount {
		root, size := checkpoint.Roots[kind], checkpoint.TrailerBytes[kind]
		// A trailer lies in the file, so its length is bounded before memory is taken for it.
		if size > f.sizeBytes {
			c.damage = append(c.damage, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[kind],
				Reason: fmt.Sprintf("the trailer has %d bytes, the file %d", size, f.sizeBytes)})
			continue
		}
		content, isWhole, seen := make([]byte, 0, size), true, uint64(0)
		block.WalkTrailer(f.file, f.layout.GridAt, &f.geometry, s.Cluster, kind, root, size, f.scratch[:f.limits.BlockBytes],
			func(ref storage.Ref, part []byte, fault *storage.Fault) bool {
				seen++
				c.blocks = append(c.blocks, named{ref: ref, trailer: kind, fault: fault})
				content, isWhole = append(content, part...), isWhole && fault == nil
				return true
			})
		if want := f.geometry.TrailerBlocks(size); isWhole && seen == want {
			c.trailers[kind] = content
		} else if seen < want {
			c.damage = append(c.damage, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[kind],
				Reason: fmt.Sprintf("%d of the trailer's %d blocks cannot be found, because a block with their names is damaged", want-seen, want)})
		}
	}
	content := c.trailers[storage.TrailerManifest]
	switch root := checkpoint.Roots[storage.TrailerManifest]; {
	case root.IsZero():
	case content == nil:
		c.damage = append(c.damage, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[storage.TrailerManifest],
			Reason: "the manifest cannot be read, so the tables are not known"})
	default:
		_, err := manifest.Walk(content, &f.limits, func(t *manifest.Table) {
			table := *t
			c.blocks = append(c.blocks, named{ref: table.Ref, table: &table})
		})
		if err != nil {
			c.damage = append(c.damage, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[storage.TrailerManifest], Address: root.Address,
				Offset: f.blockOffset(root.Address), Reason: err.Error()})
		}
	}
	return c
}

// blockOffset of an address in the file. An address that no file can have gets the offset 0.
func (f *File) blockOffset(address uint64) uint64 {
	if address == 0 || address > 1<<62/uint64(f.limits.BlockBytes) {
		return 0
	}
	return f.layout.GridAt + f.geometry.Offset(address, 0)
}

// inOrder returns the indexes of the blocks, sorted by address.
func (c *contents) inOrder() []int {
	order := make([]int, len(c.blocks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.blocks[a].ref.Address, c.blocks[b].ref.Address) })
	return order
}

// damageOf a block that is named.
func (f *File) damageOf(n *named, fault *storage.Fault) Damage {
	d := Damage{Kind: DamageTrailer, Tree: n.treeName(), Address: n.ref.Address, Offset: f.blockOffset(n.ref.Address), Reason: fault.Reason}
	if n.table != nil {
		d.Kind = DamageTable
	}
	if fault.What == storage.FaultBlock && n.ref.Address > 0 {
		page := fault.Page
		d.Page = &page
		d.Offset += uint64(page) * uint64(f.limits.PageBytes)
	}
	return d
}

func checkpointFields(c *storage.Checkpoint) Fields {
	fields := Fields{
		{"op", c.Op},
		{"id", hexOf(datafile.CheckpointID(c))},
		{"parent_id", hexOf(c.ParentID)},
		{"prepare_checksum", hexOf(c.PrepareChecksum)},
		{"release", c.Release},
		{"blocks_high", c.BlocksHigh},
		{"accounts", c.AccountsCount},
		{"transfers", c.TransfersCount},
		{"timestamp_last", c.TimestampLast},
	}
	for kind := range storage.TrailersCount {
		name := storage.TrailerNames[kind]
		fields = append(fields, Field{name + "_address", c.Roots[kind].Address}, Field{name + "_checksum", hexOf(c.Roots[kind].Checksum)},
			Field{name + "_bytes", c.TrailerBytes[kind]})
	}
	return fields
}

// Checkpoint is the newest checkpoint: what the superblock says of it, and what it names.
type Checkpoint struct {
	Fields   Fields         `json:"checkpoint"`
	Trailers []TrailerShape `json:"trailers"`
	Trees    []TreeShape    `json:"trees"`
	Damaged  []Damage       `json:"damaged"`
	Changed  bool           `json:"changed"`
}

// TrailerShape is a trailer's blocks, the root's first.
type TrailerShape struct {
	Name      string   `json:"name"`
	Bytes     uint64   `json:"bytes"`
	Addresses []uint64 `json:"addresses"`
}

// TreeShape is what a tree consists of.
type TreeShape struct {
	Tree    string `json:"tree"`
	Tables  uint64 `json:"tables"`
	Pages   uint64 `json:"pages"`
	Bytes   uint64 `json:"bytes"` // of the used pages
	Entries uint64 `json:"entries"`
}

// Checkpoint reads the trailers. Tables are counted as the manifest has them.
func (f *File) Checkpoint() (*Checkpoint, error) {
	var r *Checkpoint
	changed, err := f.settled(func(s *datafile.Copy) string {
		c := f.read(s)
		r = &Checkpoint{Fields: checkpointFields(&s.Checkpoint), Damaged: append([]Damage{}, c.damage...)}
		for kind := range storage.TrailersCount {
			r.Trailers = append(r.Trailers, TrailerShape{storage.TrailerNames[kind], s.Checkpoint.TrailerBytes[kind], []uint64{}})
		}
		for tree := range storage.TreesCount {
			r.Trees = append(r.Trees, TreeShape{Tree: storage.Trees[tree].Name})
		}
		for i := range c.blocks {
			n := &c.blocks[i]
			if n.table == nil {
				r.Trailers[n.trailer].Addresses = append(r.Trailers[n.trailer].Addresses, n.ref.Address)
				if n.fault != nil {
					r.Damaged = append(r.Damaged, f.damageOf(n, n.fault))
				}
				continue
			}
			shape := &r.Trees[n.table.Tree]
			shape.Tables++
			shape.Pages += uint64(n.table.PagesUsed)
			shape.Bytes += uint64(n.table.PagesUsed) * uint64(f.limits.PageBytes)
			shape.Entries += uint64(n.table.Entries)
		}
		return complaint(r.Damaged)
	})
	if err != nil {
		return nil, err
	}
	r.Changed = changed
	return r, nil
}

// complaint is the damage as a text that can be compared.
func complaint(damage []Damage) (text string) {
	for i := range damage {
		d := &damage[i]
		text += fmt.Sprintln(d.Kind, d.Tree, d.Address, d.Offset, d.Reason)
	}
	return text
}

// Text implements Report.
func (r *Checkpoint) Text(out io.Writer) {
	table(out, func(row func(cells ...any)) {
		for _, field := range r.Fields {
			row(field.Name, field.Value)
		}
	})
	fmt.Fprintln(out)
	table(out, func(row func(cells ...any)) {
		row("trailer", "bytes", "blocks", "addresses")
		for _, t := range r.Trailers {
			row(t.Name, t.Bytes, len(t.Addresses), shortened(t.Addresses))
		}
	})
	fmt.Fprintln(out)
	table(out, func(row func(cells ...any)) {
		row("tree", "tables", "pages", "bytes", "entries")
		for _, t := range r.Trees {
			row(t.Tree, t.Tables, t.Pages, t.Bytes, t.Entries)
		}
	})
	textDamage(out, r.Damaged)
	textChanged(out, r.Changed)
}

// shortened writes the first addresses.
func shortened(addresses []uint64) string {
	const shown = 8
	if len(addresses) > shown {
		return fmt.Sprint(addresses[:shown]) + " ..."
	}
	return fmt.Sprint(addresses)
}
