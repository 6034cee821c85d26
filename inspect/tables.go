package inspect

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/storage/forest/manifest"
)

// Tables is the tables that the checkpoint names, in the order of the manifest.
type Tables struct {
	CheckpointOp uint64   `json:"checkpoint_op"`
	Tables       []Table  `json:"tables"`
	Damaged      []Damage `json:"damaged"` // of trailers
	Changed      bool     `json:"changed"`
}

// Table is one of them. Keys are those of the tree, without the zeros that fill a key up.
type Table struct {
	Tree     string `json:"tree"`
	Level    int    `json:"level"`
	Run      int    `json:"run"`
	Output   bool   `json:"output"`  // of a merge under way
	Partial  bool   `json:"partial"` // the block of the carried rows
	Address  uint64 `json:"address"`
	Offset   uint64 `json:"offset"`
	Checksum string `json:"checksum"`
	Pages    uint16 `json:"pages"`
	Entries  uint32 `json:"entries"`
	BornOp   uint64 `json:"born_op"`
	KeyMin   string `json:"key_min"`
	KeyMax   string `json:"key_max"`
}

// CheckTree refuses a name that no tree has. "" stands for all trees.
func CheckTree(tree string) error {
	names := make([]string, len(storage.Trees))
	for i := range storage.Trees {
		names[i] = storage.Trees[i].Name
	}
	if tree != "" && !slices.Contains(names, tree) {
		return fmt.Errorf("--tree=%s: must be a tree: %s", tree, strings.Join(names, ", "))
	}
	return nil
}

// Tables lists the tables of a tree, or of all if tree is "".
func (f *File) Tables(tree string) (*Tables, error) {
	var r *Tables
	changed, err := f.settled(func(s *datafile.Copy) string {
		c := f.read(s)
		r = &Tables{CheckpointOp: s.Checkpoint.Op, Tables: []Table{}, Damaged: f.trailerDamage(c)}
		for i := range c.blocks {
			if n := &c.blocks[i]; n.table != nil && (tree == "" || tree == n.treeName()) {
				r.Tables = append(r.Tables, f.tableOf(n.table))
			}
		}
		return complaint(r.Damaged)
	})
	if err != nil {
		return nil, err
	}
	r.Changed = changed
	return r, nil
}

// trailerDamage is what was found wrong when the trailers were read.
func (f *File) trailerDamage(c *contents) []Damage {
	damage := append([]Damage{}, c.damage...)
	for i := range c.blocks {
		if n := &c.blocks[i]; n.fault != nil {
			damage = append(damage, f.damageOf(n, n.fault))
		}
	}
	return damage
}

func (f *File) tableOf(t *manifest.Table) Table {
	keyBytes := storage.Trees[t.Tree].KeyBytes
	return Table{
		Tree: storage.Trees[t.Tree].Name, Level: t.Level, Run: t.Run, Output: t.Output, Partial: t.Partial, Address: t.Address,
		Offset: f.blockOffset(t.Address), Checksum: hexOf(t.Checksum), Pages: t.PagesUsed, Entries: t.Entries, BornOp: t.BornOp,
		KeyMin: hex.EncodeToString(t.KeyMin[:keyBytes]), KeyMax: hex.EncodeToString(t.KeyMax[:keyBytes]),
	}
}

// place says where a tree has the table.
func (t *Table) place() string {
	switch {
	case t.Partial:
		return "partial"
	case t.Tree == storage.Trees[storage.TreeTransferLog].Name:
		return "rows"
	case t.Output:
		return fmt.Sprintf("merge of level %d", t.Level)
	}
	return fmt.Sprintf("level %d, run %d", t.Level, t.Run)
}

// Text implements Report.
func (r *Tables) Text(out io.Writer) {
	fmt.Fprintf(out, "checkpoint op %d: %d tables\n", r.CheckpointOp, len(r.Tables))
	table(out, func(row func(cells ...any)) {
		row("tree", "place", "address", "offset", "pages", "entries", "born op", "first key", "last key")
		for i := range r.Tables {
			t := &r.Tables[i]
			row(t.Tree, t.place(), t.Address, t.Offset, t.Pages, t.Entries, t.BornOp, t.KeyMin, t.KeyMax)
		}
	})
	textDamage(out, r.Damaged)
	textChanged(out, r.Changed)
}
