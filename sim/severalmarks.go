package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	protocol "ledger/peer"
	"ledger/sim/model"
)

// Mark is a situation for which the simulation of several replicas exists.
type Mark uint8

// The marks of a run. What a replica believes is not read. A mark is set by what a replica writes,
// sends, or finds at a start.
const (
	MarkPrimaryCrash      Mark = iota // the primary of a view goes down
	MarkAllCut                        // all machines lose power at once
	MarkTornAppend                    // a machine goes down while a prepare is being written
	MarkTornSuperblock                // or a superblock
	MarkPaused                        // a machine stands still
	MarkSplit                         // paths between machines are cut
	MarkOneWay                        // in one direction only
	MarkSpoiled                       // a byte changes between two machines
	MarkClock                         // a wall clock jumps
	MarkDiskFailed                    // a replica stops because its disk fails
	MarkHarmed                        // both copies of a log entry are damaged
	MarkFaultyStart                   // a start finds faulty slots
	MarkUncertainStart                // a start finds an uncertain head
	MarkUncertainVote                 // a ballot with uncertain ops
	MarkBlankVote                     // a ballot with a header that nobody here knows
	MarkNackVote                      // a ballot that nacks an op
	MarkTruncated                     // the log of a view leaves an op out that somebody has written
	MarkDeaf                          // a primary hears nobody
	MarkStuck                         // a view change takes too long
	MarkUncertainWish                 // an uncertain head gets no answer in time
	MarkClockLost                     // a primary leaves its view, because it does not know the time
	MarkViewSkipped                   // a replica follows a view that is not the next one
	MarkRepaired                      // an op is repaired from the log of another replica
	MarkRepairServed                  // an entry is read from the log for another replica
	MarkMissing                       // an entry is asked for that is not there
	MarkWrapped                       // the log is overwritten from its beginning on
	MarkEvictionAcross                // a session ends in another view than it began
	MarkForwarded                     // a backup forwards a request
	MarkRepeatedByBackup              // a backup repeats a reply
	MarkCheckpoint                    // a checkpoint is durable everywhere
	MarkSlowDisk                      // one disk is slow for a stretch of time
	MarkSpoiledBlock                  // a disk spoils a block
	MarkRepairedTable                 // a block of a tree is repaired
	MarkRepairedTrailer               // a block of a trailer
	MarkRepairedAtOpening             // while the replica opens its checkpoint
	MarkBlockServed                   // a replica sends a block to another one
	MarkServedAtReuse                 // or one whose address it has used again
	MarkReopened                      // a replica opens its own checkpoint again
	MarkSync                          // a replica takes a checkpoint of others
	MarkSyncAgain                     // or a newer one, while blocks of it are missing
	MarkStandby                       // standbys have the checkpoint of the replicas at the end
	MarkScrubbed                      // damage that nobody reads is found at the end, and repaired
	MarkLost                          // a replica loses its data file
	MarkReplaced                      // a file in the place of a lost one has the checkpoint of the others at the end
	MarkReplacedInView                // a view begins between the loss and the time when the new file is even with the others
	MarkReplacedAck                   // an acknowledgement of a new file counts
	MarkReplacedTold                  // recover is told twice, because its session or its file is lost
	MarkOldFile                       // the lost file comes back
	MarkOldAck                        // it acknowledges an op, and does not count
	MarkUpgradeBegun                  // an upgrade op is committed
	MarkUpgraded                      // all run the next release at the end
	MarkUpgradeInView                 // a view begins during an upgrade
	MarkUpgradeCrash                  // a machine goes down during an upgrade
	MarkUpgradeSync                   // a replica takes the checkpoint of another release
	MarkUpgradeRefused                // a program that is too old refuses to start
	MarkAttacked                      // an attacker sends something as a replica
	MarkAttackEnded                   // and the connection is ended on which it comes
	MarkRotated                       // the key of a cluster is replaced while it works
	MarkLate                          // a query ends behind a later op
	MarkLateInView                    // a view begins at a replica at which a query has not ended
	MarkLateDropped                   // a checkpoint is opened while a query has not ended
	marksCount
)

// markRules are the names and the least shares, in percent of the seeds.
var markRules = [marksCount]struct {
	name  string
	least int
}{
	MarkPrimaryCrash:      {"the primary goes down", 50},
	MarkAllCut:            {"all machines lose power", 15},
	MarkTornAppend:        {"a crash while a prepare is written", 20},
	MarkTornSuperblock:    {"a crash while a superblock is written", 3},
	MarkPaused:            {"a machine stands still", 15},
	MarkSplit:             {"the cluster is cut apart", 15},
	MarkOneWay:            {"a machine is cut off in one direction", 10},
	MarkSpoiled:           {"a byte changes between two machines", 10},
	MarkClock:             {"a wall clock jumps", 15},
	MarkDiskFailed:        {"a replica stops because its disk fails", 5},
	MarkHarmed:            {"both copies of a log entry are damaged", 8},
	MarkFaultyStart:       {"a start with faulty slots", 8},
	MarkUncertainStart:    {"a start with an uncertain head", 3},
	MarkUncertainVote:     {"a ballot with uncertain ops", 1},
	MarkBlankVote:         {"a ballot with a blank", 0},
	MarkNackVote:          {"a ballot with a nack", 5},
	MarkTruncated:         {"an op is truncated", 10},
	MarkDeaf:              {"a deaf primary gives way", 10},
	MarkStuck:             {"a view change takes too long", 15},
	MarkUncertainWish:     {"an uncertain head gets no answer", 0},
	MarkClockLost:         {"a primary without a clock gives way", 0},
	MarkViewSkipped:       {"a view is skipped", 8},
	MarkRepaired:          {"an op is repaired from another log", 30},
	MarkRepairServed:      {"an entry is read for another replica", 30},
	MarkMissing:           {"an entry is asked for that is not there", 0},
	MarkWrapped:           {"the log wraps", 50},
	MarkEvictionAcross:    {"a session ends in a later view", 12},
	MarkForwarded:         {"a backup forwards a request", 50},
	MarkRepeatedByBackup:  {"a backup repeats a reply", 10},
	MarkCheckpoint:        {"a checkpoint on all replicas", 50},
	MarkSlowDisk:          {"a disk is slow for long", 15},
	MarkSpoiledBlock:      {"a disk spoils a block", 25},
	MarkRepairedTable:     {"a block of a tree is repaired", 25},
	MarkRepairedTrailer:   {"a block of a trailer is repaired", 8},
	MarkRepairedAtOpening: {"a block is repaired while a checkpoint is opened", 8},
	MarkBlockServed:       {"a block is sent to another replica", 25},
	MarkServedAtReuse:     {"a block is asked for whose address was used again", 0},
	MarkReopened:          {"a replica opens its checkpoint again", 0},
	MarkSync:              {"a replica takes a checkpoint of others", 20},
	MarkSyncAgain:         {"a newer one while blocks of it are missing", 0},
	MarkStandby:           {"standbys have the checkpoint of the replicas", 12},
	MarkScrubbed:          {"damage that nobody reads is repaired", 8},
	MarkLost:              {"a data file is lost", 8},
	MarkReplaced:          {"a replaced replica comes to the checkpoint of the others", 7},
	MarkReplacedInView:    {"a view begins while a replica is replaced", 5},
	MarkReplacedAck:       {"a new data file acknowledges", 7},
	MarkReplacedTold:      {"recover is run twice", 1},
	MarkOldFile:           {"the lost data file comes back", 2},
	MarkOldAck:            {"it acknowledges, and does not count", 0},
	MarkUpgradeBegun:      {"an upgrade op is committed", 8},
	MarkUpgraded:          {"all replicas run the next release", 8},
	MarkUpgradeInView:     {"a view begins during an upgrade", 2},
	MarkUpgradeCrash:      {"a machine goes down during an upgrade", 2},
	MarkUpgradeSync:       {"a replica takes a checkpoint of the next release", 0},
	MarkUpgradeRefused:    {"a program that is too old for the release refuses to start", 4},
	MarkAttacked:          {"an attacker sends something as a replica", 10},
	MarkAttackEnded:       {"the connection ends on which an attacker sends", 10},
	MarkRotated:           {"all machines have started without the first key", 2},
	MarkLate:              {"a query ends behind a later op", 50},
	MarkLateInView:        {"a view begins while a query goes on", 5},
	MarkLateDropped:       {"a checkpoint is opened while a query goes on", 0},
}

// Marks counts how often a run reached each mark.
type Marks struct {
	Counts  [marksCount]int
	Strikes [strikesCount]int
	Causes  [16]int // of wishes to leave a view
	Views   int     // the highest view
	Stalled int     // runs in which nothing was committed for a long time under faults
}

func (m *Marks) add(mark Mark) { m.Counts[mark]++ }

// Encode writes the counts as a word; DecodeMarks reads them.
func (m *Marks) Encode() string {
	var numbers []string
	for _, list := range [...][]int{m.Counts[:], m.Strikes[:], m.Causes[:], {m.Views, m.Stalled}} {
		for _, n := range list {
			numbers = append(numbers, strconv.Itoa(n))
		}
	}
	return strings.Join(numbers, ",")
}

// DecodeMarks reads what Encode has written.
func DecodeMarks(word string) (m Marks, err error) {
	numbers := strings.Split(word, ",")
	var to []*int
	for i := range m.Counts {
		to = append(to, &m.Counts[i])
	}
	for i := range m.Strikes {
		to = append(to, &m.Strikes[i])
	}
	for i := range m.Causes {
		to = append(to, &m.Causes[i])
	}
	to = append(to, &m.Views, &m.Stalled)
	if len(numbers) != len(to) {
		return m, fmt.Errorf("%d numbers of marks, want %d: the file is of another version of the simulator", len(numbers), len(to))
	}
	for i, text := range numbers {
		if *to[i], err = strconv.Atoi(text); err != nil {
			return m, err
		}
	}
	return m, nil
}

// MarksReached sums up the marks of many runs.
type MarksReached struct {
	Runs  [marksCount]int // that reached a mark
	Total Marks
}

// Add the marks of a run.
func (r *MarksReached) Add(m *Marks) {
	for i, count := range m.Counts {
		r.Runs[i] += min(1, count)
		r.Total.Counts[i] += count
	}
	for i, count := range m.Strikes {
		r.Total.Strikes[i] += count
	}
	for i, count := range m.Causes {
		r.Total.Causes[i] += count
	}
	r.Total.Views += m.Views
	r.Total.Stalled += m.Stalled
}

// Text is a table of the marks.
func (r *MarksReached) Text(runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| mark | seeds | share | least | times |\n|---|---:|---:|---:|---:|\n")
	for i, rule := range markRules {
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %d %% | %d |\n", rule.name, r.Runs[i], 100*float64(r.Runs[i])/float64(max(1, runs)), rule.least,
			r.Total.Counts[i])
	}
	fmt.Fprintf(&b, "\nfaults:")
	for i, count := range r.Total.Strikes {
		fmt.Fprintf(&b, " %s %d,", strikeNames[i], count)
	}
	fmt.Fprintf(&b, "\nwishes to leave a view, by cause:")
	for i, count := range r.Total.Causes {
		if count > 0 {
			fmt.Fprintf(&b, " %s %d;", protocol.Cause(i), count)
		}
	}
	fmt.Fprintf(&b, "\nviews %d, runs in which nothing was committed for a minute under faults %d\n", r.Total.Views, r.Total.Stalled)
	return b.String()
}

// Missing names a mark with too small a share. The runs are a sample: of a mark whose share is just
// the least one, it allows three standard deviations fewer, and never none.
func (r *MarksReached) Missing(runs int) string {
	for i, rule := range markRules {
		if rule.least == 0 {
			continue
		}
		share := float64(rule.least) / 100
		expected := share * float64(runs)
		if least := max(1, expected-3*math.Sqrt(expected*(1-share))); float64(r.Runs[i]) < least {
			return fmt.Sprintf("%q: %d of %d runs, want %d %% (%.0f runs, as a sample of so few)", rule.name, r.Runs[i], runs, rule.least, least)
		}
	}
	return ""
}

// markFrame looks at a message to a client.
func (s *several) markFrame(c *client, m *Machine, frame []byte) {
	h, _, err := model.ParseFrame(frame)
	if err != nil {
		return
	}
	switch h.Command {
	case model.CommandReply:
		s.replacement.replied(c, h.View)
		if s.cluster.primaryOf(h.View) != m.index {
			s.marks.add(MarkRepeatedByBackup)
		}
		if h.Operation == model.Register {
			c.bornView = h.View
		}
	case model.CommandEviction:
		if h.Reason == model.EvictNoSession && h.View > c.bornView {
			s.marks.add(MarkEvictionAcross)
		}
	}
}
