package sim

import "math/rand/v2"

// trap ends the work of a start a few steps after a certain write was queued. So crashes come at
// critical moments.
type trap struct {
	zone   trapZone
	after  int // writes of the zone
	steps  int // then this many steps
	sprung bool
}

type trapZone uint8

const (
	trapNone trapZone = iota
	trapSuperblock
	trapTwins
	trapPrepares
	trapGrid
	trapSync    // a checkpoint's sync begins
	trapSynced  // a checkpoint's sync ends
	trapLogSync // a sync of the log begins or ends
	trapBrink   // no more ops may be prepared, because a checkpoint is not durable
)

// slowDown makes a part of the file slow. Then checkpoints take long, because of their blocks or of
// the superblock, or the log does.
func (m *Machine) slowDown() {
	layout := &m.layout
	m.disk.slowNs = 1 + m.random.Uint64N(2_000*nsPerMs)
	switch m.random.IntN(5) {
	case 0, 1:
		m.disk.slowFrom, m.disk.slowTo = 0, layout.TwinsAt
	case 2, 3:
		m.disk.slowFrom, m.disk.slowTo = layout.GridAt, ^uint64(0)
	case 4:
		m.disk.slowFrom, m.disk.slowTo = layout.TwinsAt, layout.GridAt
	}
}

func drawTrap(random *rand.Rand) trap {
	t := trap{steps: random.IntN(1 << random.IntN(12))}
	switch random.IntN(12) {
	case 0, 1:
		t.zone, t.after = trapSuperblock, random.IntN(12)
	case 2:
		t.zone, t.after = trapTwins, random.IntN(40)
	case 3:
		t.zone, t.after = trapPrepares, random.IntN(40)
	case 4:
		t.zone, t.after = trapGrid, random.IntN(80)
	case 6:
		t.zone, t.after, t.steps = trapSync, random.IntN(3), random.IntN(200)
	case 7:
		t.zone, t.after, t.steps = trapSynced, random.IntN(3), random.IntN(20)
	case 10:
		t.zone, t.after, t.steps = trapLogSync, random.IntN(40), random.IntN(100)
	case 8, 9: // while a prepare and its twin are being written
		t.zone, t.after, t.steps = trapTwins, random.IntN(40), random.IntN(60)
	case 5, 11:
		t.zone, t.after, t.steps = trapBrink, random.IntN(3), random.IntN(400)
	}
	return t
}

// spring checks whether a write is the one for which the trap waits.
func (m *Machine) spring(offsetBytes uint64) {
	layout, zone := &m.layout, trapSuperblock
	switch {
	case offsetBytes >= layout.GridAt:
		zone = trapGrid
	case offsetBytes >= layout.PreparesAt:
		zone = trapPrepares
	case offsetBytes >= layout.TwinsAt:
		zone = trapTwins
	}
	if m.trap.zone == trapBrink && m.medium.brinkCount > m.brinkCount {
		zone, m.brinkCount = trapBrink, m.medium.brinkCount
	}
	if m.trap.zone != zone {
		return
	}
	m.trap.after--
	m.trap.sprung = m.trap.sprung || m.trap.after < 0
}

// springSync does the same for a sync of the log, or of a checkpoint.
func (m *Machine) springSync(zone Zone, ended bool) {
	switch m.trap.zone {
	case trapLogSync:
		if zone != PortJournal {
			return
		}
	case trapSync, trapSynced:
		if zone == PortJournal || ended != (m.trap.zone == trapSynced) {
			return
		}
	default:
		return
	}
	m.trap.after--
	m.trap.sprung = m.trap.sprung || m.trap.after < 0
}
