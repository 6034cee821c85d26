package sim

import (
	"fmt"

	"ledger/storage"
	"ledger/storage/block"
)

// Coverage counts how often a run reached the situations for which the simulator exists. A
// situation that is never reached is never tested. TestSeeds prints the sums, and requires that
// many seeds together have reached all of them.
type Coverage struct {
	// Compaction, from the counters of the stages.
	Merges      [6]int // merges that ended, by level; the deepest counts for all levels below it
	TablesMoved int    // tables moved to the next level without being read
	Evicted     int    // accounts that left the cache with changes that only the cache had
	Behind      int    // queries that ended when a later op was executed

	// The grid, from the writes that the disk sees.
	Tables   [storage.TreesCount]int    // blocks written, by tree; full blocks of rows for the log
	Partials int                        // blocks of rows that the next flush replaces
	Trailers [storage.TrailersCount]int // blocks
	Chains   [storage.TrailersCount]int // trailers of several blocks
	Reused   int                        // blocks at an address that held another block before

	// The log, from recovery.
	PreparesFixed, TwinsFixed int // copies that were rewritten from the other copy
	CopiesLost                int // writes of one copy that the disk has lost during work
	TornGivenUp               int // torn prepares that were given up
	Left                      int // processes that ended in order
	Settled                   int // the same, after a checkpoint that no-ops had led to

	// The network. A connection strays if its client reaches another machine than it wants.
	PathsCut, Duplicates, Spoiled, GivenUp, Strayed int

	Crashes     [crashPhases]int // by the activity that a crash interrupted; there may have been several
	FlakyReads  int              // reads that failed once
	RotFaults   int              // stops of a replica that found damage during work
	RotAnswered int              // runs that ended with damage that was not needed

	Findings  [storage.ZonesCount]int // of the scrubber, by zone of the file
	RestFound int                     // damaged places at rest that it had to find, and has found
}

// crashPhase is an activity that a crash can interrupt.
type crashPhase uint8

const (
	crashTable   crashPhase = iota // a block of a tree is being written
	crashTrailer                   // a block of a trailer
	crashSync                      // the sync before the superblock
	crashBetween                   // the sync is done, the superblock not begun
	crashCopies                    // some copies of the superblock are written
	crashPrepare                   // a prepare
	crashTwin                      // its twin
	crashLogSync                   // the sync behind both
	crashReplay                    // the log is being executed again
	crashAtRest                    // nothing is under way
	crashPhases
)

var crashNames = [crashPhases]string{"table", "trailer", "sync", "between", "copies", "prepare", "twin", "log sync", "replay", "at rest"}

// String is the summary that TestSeeds prints.
func (c Coverage) String() string {
	text := fmt.Sprintf("\nmerges by level %v, tables moved %d, accounts evicted %d, blocks reused %d, partial row blocks %d;\n"+
		"queries that ended behind a later op %d;\ntables", c.Merges, c.TablesMoved, c.Evicted, c.Reused, c.Partials, c.Behind)
	for tree, count := range c.Tables {
		text += fmt.Sprintf(" %s %d", storage.Trees[tree].Name, count)
	}
	text += fmt.Sprintf(";\ntrailer blocks: manifest, free set, sessions %v, of longer chains %v;\ncrashes", c.Trailers, c.Chains)
	for phase, count := range c.Crashes {
		text += fmt.Sprintf(" %s %d", crashNames[phase], count)
	}
	text += fmt.Sprintf(";\nlog: prepares fixed %d, twins fixed %d, copies lost %d, torn prepares %d, left in order %d, "+
		"after a checkpoint %d", c.PreparesFixed, c.TwinsFixed, c.CopiesLost, c.TornGivenUp, c.Left, c.Settled)
	text += fmt.Sprintf(";\nnetwork: paths cut %d, segments spoiled %d, connections given up %d, opened twice %d, strayed %d", c.PathsCut,
		c.Spoiled, c.GivenUp, c.Duplicates, c.Strayed)
	return text + fmt.Sprintf(";\nreads that failed once %d, stops because of rot %d, rot that nobody needed %d;\n"+
		"findings of the scrubber: superblock %d, log %d, grid %d; at rest %d\n", c.FlakyReads, c.RotFaults, c.RotAnswered,
		c.Findings[storage.ZoneSuperblock], c.Findings[storage.ZoneLog], c.Findings[storage.ZoneGrid], c.RestFound)
}

// Missing names a common situation that many runs together have never reached.
func (c *Coverage) Missing() string {
	for tree, count := range c.Tables {
		if count == 0 {
			return "a table of " + storage.Trees[tree].Name
		}
	}
	for phase, count := range c.Crashes {
		if count == 0 {
			return "a crash by phase: " + crashNames[phase]
		}
	}
	for _, counter := range []struct {
		count int
		what  string
	}{
		{c.Merges[0], "a merge"}, {c.Merges[1], "a merge of merges"}, {c.TablesMoved, "a table that moves without being read"},
		{c.Evicted, "an account that leaves the cache with changes"}, {c.Reused, "a block that is used again"},
		{c.Behind, "a query that ends behind a later op"},
		{c.Partials, "a partial block of rows"},
		{c.Chains[storage.TrailerManifest], "a manifest of several blocks"}, {c.FlakyReads, "a read that fails once"},
		{c.RotFaults, "damage that is found at work"},
		{c.PreparesFixed, "a prepare that its twin mends"}, {c.TwinsFixed, "a twin that its prepare mends"},
		{c.CopiesLost, "a lost copy of a prepare"},
		{c.TornGivenUp, "a torn prepare"}, {c.Settled, "a checkpoint before the end"},
		{c.Findings[storage.ZoneSuperblock], "a finding in the superblock"}, {c.Findings[storage.ZoneLog], "a finding in the log"},
		{c.Findings[storage.ZoneGrid], "a finding in the grid"}, {c.RestFound, "damage at rest that the scrubber finds"},
		{c.PathsCut, "a cut path"}, {c.Spoiled, "a byte that changes on the way"}, {c.GivenUp, "a connection that is given up"},
		{c.Duplicates, "a handshake that comes twice"}, {c.Strayed, "a client that reaches another machine"},
	} {
		if counter.count == 0 {
			return counter.what
		}
	}
	return ""
}

// observeGrid counts a block that is being written.
func (m *Machine) observeGrid(offsetBytes uint64, data []byte) {
	c, header := &m.result.Coverage, block.HeaderPage(data)
	switch {
	case header.Kind() == block.KindTrailer:
		c.Trailers[header.Tree()]++
		if header.Entries() > 0 {
			c.Chains[header.Tree()]++
		}
	case header.Partial():
		c.Partials++
	default:
		c.Tables[header.Tree()]++
	}
	before := block.HeaderPage(m.disk.image.bytes(offsetBytes, uint64(m.limits.PageBytes)))
	if before.Address() == header.Address() && before.Checksum() != header.Checksum() {
		c.Reused++
	}
}

// observeCrash counts the activities that a crash interrupts.
func (m *Machine) observeCrash() {
	if m.world.options.onCrash != nil {
		m.world.options.onCrash(m)
	}
	c := &m.result.Coverage.Crashes
	if !m.ready {
		c[crashReplay]++
	}
	for _, o := range m.disk.flying {
		switch layout := &m.layout; {
		case o.kind == diskSync && o.port.zone == PortJournal:
			c[crashLogSync]++
		case o.kind == diskSync:
			c[crashSync]++
		case o.kind != diskWrite:
		case o.offsetBytes < layout.TwinsAt:
			c[crashCopies]++
		case o.offsetBytes < layout.PreparesAt:
			c[crashTwin]++
		case o.offsetBytes < layout.GridAt:
			c[crashPrepare]++
		case block.HeaderPage(o.copy).Kind() == block.KindTrailer:
			c[crashTrailer]++
		default:
			c[crashTable]++
		}
	}
	if m.disk.synced {
		c[crashBetween]++
	}
	if m.quiet() {
		c[crashAtRest]++
	}
}

// observeStages reads the counters of stages that stop. No block may be lost: every acquired block
// is named or waits. While the checkpoint is being opened, the parts are not all there to be
// counted.
func (m *Machine) observeStages() {
	statistics := m.replica.Apply.Statistics()
	c, counters := &m.result.Coverage, &statistics.Forest
	if counters.BlocksLost != 0 && m.replica.Apply.IsOpen() {
		m.leak = fmt.Sprintf("of %d blocks that are acquired, %d are neither named nor waiting", counters.BlocksAcquired,
			int64(counters.BlocksLost))
	}
	for level, count := range counters.Merges {
		c.Merges[min(level, len(c.Merges)-1)] += int(count)
	}
	c.TablesMoved += int(counters.TablesMoved)
	c.Evicted += int(counters.DirtyEvicted)
	c.Behind += int(statistics.QueriesBehind)
	if s := m.cluster.several; s != nil {
		s.marks.Counts[MarkLate] += int(statistics.QueriesBehind)
		s.marks.Counts[MarkLateDropped] += int(statistics.QueriesDropped)
	}
}

// namesDamage tells whether a fault names a block that has been damaged.
func (m *Machine) namesDamage(fault *storage.Fault) bool {
	return fault.Address > 0 && m.damaged[fault.Address]
}
