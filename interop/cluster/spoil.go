package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

const (
	superblockSize = 24 << 10 // of each of the four copies
	blockBytes     = 512 << 10
)

// table is a table that a checkpoint names: a header page, and as many pages behind it.
type table struct {
	Tree    string `json:"tree"`
	Level   int    `json:"level"`
	Address uint64 `json:"address"`
	Offset  uint64 `json:"offset"`
	Pages   uint64 `json:"pages"`
}

// tables of the checkpoint of replica i, which may run.
func (g *group) tables(i int) []table {
	g.t.Helper()
	var list struct {
		Tables []table `json:"tables"`
	}
	if err := json.Unmarshal(g.inspect(i, "tables", "--json"), &list); err != nil {
		g.t.Fatalf("replica %d: inspect tables --json: %v", i, err)
	}
	if len(list.Tables) == 0 {
		g.t.Fatalf("replica %d: the checkpoint names no table", i)
	}
	return list.Tables
}

// zone is a part of a data file.
type zone struct {
	Name   string `json:"name"`
	Offset uint64 `json:"offset"`
	Size   uint64 `json:"size"`
}

// zone of this name of replica i.
func (g *group) zone(i int, name string) zone {
	g.t.Helper()
	var layout struct {
		Zones []zone `json:"zones"`
	}
	if err := json.Unmarshal(g.inspect(i, "layout", "--json"), &layout); err != nil {
		g.t.Fatalf("replica %d: inspect layout --json: %v", i, err)
	}
	for _, z := range layout.Zones {
		if z.Name == name {
			return z
		}
	}
	g.t.Fatalf("replica %d: the data file has no zone %s", i, name)
	return zone{}
}

// garbage fills a sector.
func garbage(random *rand.Rand) []byte {
	sector := make([]byte, sectorBytes)
	for at := range sector {
		sector[at] = byte(random.Uint32())
	}
	return sector
}

// spoil overwrites count sectors of each zone of replica i, which may run: used pages of the tables
// of the checkpoint, sectors of the log, and a copy of the superblock.
func (g *group) spoil(i int, random *rand.Rand, count int) {
	g.t.Helper()
	tables := g.tables(i)
	twins, prepares := g.zone(i, "log-twins"), g.zone(i, "log-prepares")
	g.onFile(i, func(file *os.File) error {
		var all error
		at := func(offset uint64) {
			_, err := file.WriteAt(garbage(random), int64(offset))
			all = errors.Join(all, err)
		}
		for range count {
			t := tables[random.IntN(len(tables))]
			at(t.Offset + random.Uint64N(1+t.Pages)*sectorBytes)
			at(twins.Offset + random.Uint64N(twins.Size/sectorBytes)*sectorBytes)
			at(prepares.Offset + random.Uint64N(prepares.Size/sectorBytes)*sectorBytes)
		}
		at(random.Uint64N(4) * superblockSize)
		return errors.Join(all, file.Sync())
	})
}

// zeroGrid makes the whole grid of replica i zeros. The replica is down.
func (g *group) zeroGrid(i int) {
	g.t.Helper()
	grid := g.zone(i, "grid")
	g.onFile(i, func(file *os.File) error {
		size, err := file.Seek(0, 2)
		if err == nil { // a hole reads as zeros, and the room is taken again
			err = errors.Join(file.Truncate(int64(grid.Offset)), file.Truncate(size), file.Sync())
		}
		return err
	})
}

// wound is a damaged place that `ledger verify` names.
type wound struct {
	Kind    string `json:"kind"`
	Tree    string `json:"tree"`
	Address uint64 `json:"address"`
	Page    uint32 `json:"page"`
	Reason  string `json:"reason"`
}

// wounds are the damaged places of the grid of replica i, which may run. The log is not among them:
// nothing needs a slot below the checkpoint.
func (g *group) wounds(i int) (all []wound) {
	g.t.Helper()
	var report struct {
		Damaged []wound `json:"damaged"`
	}
	output := g.command(i, "verify", "--json")
	if err := json.Unmarshal(output, &report); err != nil {
		g.t.Fatalf("replica %d: verify --json: %v\n%s", i, err, output)
	}
	for _, w := range report.Damaged {
		if slices.Contains([]string{"table", "trailer", "checkpoint"}, w.Kind) {
			all = append(all, w)
		}
	}
	return all
}

// counted counts wounds by tree.
func counted(wounds []wound) string {
	counts := map[string]int{}
	var names []string
	for _, w := range wounds {
		name := w.Kind + " " + w.Tree
		if counts[name] == 0 {
			names = append(names, name)
		}
		counts[name]++
	}
	slices.Sort(names)
	for at, name := range names {
		names[at] = fmt.Sprintf("%d of %s", counts[name], name)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// healing are the figures of the repair of blocks of replica i.
func (g *group) healing(i int) (wanted, lost, repaired uint64) {
	g.scrape(i, map[string]*uint64{`ledger_cluster_wanted_blocks{state="wanted"}`: &wanted,
		`ledger_cluster_wanted_blocks{state="lost"}`: &lost, `ledger_cluster_repaired_blocks{event="repaired"}`: &repaired})
	return wanted, lost, repaired
}
