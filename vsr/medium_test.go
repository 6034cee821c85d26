package vsr

import (
	"math/bits"

	"ledger/wire"
)

// The exhaustive tests know a medium of few sectors. A sector has one of these contents, which are
// written whole or not at all: nothing, damage, the header of a reserved slot, the first sector of
// a prepare, a later one of a prepare's body.
type sector uint8

const (
	sectorZero     sector = 0
	sectorReserved sector = 1
	sectorBad      sector = 2
	sectorFirst    sector = 16  // and the number of the prepare
	sectorLater    sector = 128 // and four times the number of the body, and the sector's number
)

const (
	prepareSectors = 3 // of a slot
	twinSectors    = 2
)

// entry is a prepare that may be written to the medium. Small ones, of up to two sectors, have a
// whole twin. Two prepares may have the same body: then they differ in their first sectors only.
type entry struct {
	op, view, parent, body, sectors int
}

func (e *entry) isSmall() bool { return e.sectors <= twinSectors }

// at is what the sector of a whole copy holds.
func (e *entry) at(number, sectorIndex int) sector {
	if sectorIndex == 0 {
		return sectorFirst + sector(number)
	}
	return sectorLater + sector(4*e.body+sectorIndex)
}

// place is the medium of one slot.
type place struct {
	p [prepareSectors]sector
	t [twinSectors]sector
}

func reservedPlace() place {
	return place{p: [prepareSectors]sector{sectorReserved}, t: [twinSectors]sector{sectorReserved}}
}

// entries is all that a test writes; number 0 is none.
type entries []entry

// put writes those sectors of a prepare and of its twin whose bits are set.
func (all entries) put(l *place, number int, p, t uint) {
	e := &all[number]
	for i := range e.sectors {
		if p>>i&1 != 0 {
			l.p[i] = e.at(number, i)
		}
	}
	for i := range twinSectors {
		switch {
		case t>>i&1 == 0:
		case i == 0 || e.isSmall() && i < e.sectors:
			l.t[i] = e.at(number, i)
		}
	}
}

// sectorsOf are the bits of all sectors of a prepare, and of its twin.
func (all entries) sectorsOf(number int) (p, t uint) {
	e := &all[number]
	if !e.isSmall() {
		return 1<<e.sectors - 1, 1
	}
	return 1<<e.sectors - 1, 1<<e.sectors - 1
}

// hasAll tells whether a place has every sector of both copies.
func (all entries) hasAll(l place, number int) bool {
	after := l
	p, t := all.sectorsOf(number)
	all.put(&after, number, p, t)
	return after == l
}

// isWholeIn tells whether sectors are a whole copy.
func (all entries) isWholeIn(sectors []sector, number int) bool {
	e := &all[number]
	for i := range min(e.sectors, len(sectors)) {
		if sectors[i] != e.at(number, i) {
			return false
		}
	}
	return e.sectors <= len(sectors)
}

// checksum of a prepare's header.
func (all entries) checksum(number int) wire.Checksum {
	if number == 0 {
		return wire.Checksum{}
	}
	return wire.Checksum{1, byte(number)}
}

// classify does what the journal does with real sectors.
func (all entries) classify(l *place, checkpointOp int) Slot {
	return Slot{P: all.classifyCopy(l.p[:], checkpointOp, false), T: all.classifyCopy(l.t[:], checkpointOp, true)}
}

func (all entries) classifyCopy(sectors []sector, checkpointOp int, isTwin bool) Copy {
	first := sectors[0]
	if first == sectorReserved {
		return Copy{Kind: KindReserved}
	}
	if first < sectorFirst || first >= sectorLater {
		return Copy{Kind: KindBad}
	}
	number := int(first - sectorFirst)
	e := &all[number]
	c := Copy{Kind: KindWhole, Op: uint64(e.op), View: uint32(e.view), Checksum: all.checksum(number), Parent: all.checksum(e.parent)}
	isBodyRead := e.op > checkpointOp
	switch {
	case isTwin && !e.isSmall():
		c.Kind = KindHeader
	case !isBodyRead || all.isWholeIn(sectors, number):
	case isTwin:
		c.Kind = KindTorn
	default:
		return Copy{Kind: KindBad}
	}
	return c
}

// rot calls f with each way in which one copy of a slot can go bad: each sector alone, and all.
func (l place) rot(f func(after place)) {
	for i := range prepareSectors {
		after := l
		after.p[i] = sectorBad
		f(after)
	}
	for i := range twinSectors {
		after := l
		after.t[i] = sectorBad
		f(after)
	}
	after := l
	after.p = [prepareSectors]sector{sectorBad, sectorBad, sectorBad}
	f(after)
	after = l
	after.t = [twinSectors]sector{sectorBad, sectorBad}
	f(after)
}

// subsets calls f with every subset of a set of bits, itself and the empty one included.
func subsets(set uint, f func(subset uint)) {
	for subset := set; ; subset = (subset - 1) & set {
		f(subset)
		if subset == 0 {
			return
		}
	}
}

// eachOrder calls f with every state that a write of a prepare into a place can leave when the
// power fails: any sectors of both copies if they are written at once, else any sectors of the
// prepare, or all of it and any of the twin.
func (all entries) eachOrder(l place, number int, atOnce, isRagged bool, f func(after place)) {
	p, t := all.sectorsOf(number)
	if atOnce {
		all.eachWrite(l, number, p, t, isRagged, f)
		return
	}
	all.eachWrite(l, number, p, 0, isRagged, f)
	all.put(&l, number, p, 0)
	all.eachWrite(l, number, 0, t, isRagged, f)
}

// eachWrite calls f with every state that a write of these sectors can leave. On a ragged medium a
// sector that was being written may be bad.
func (all entries) eachWrite(l place, number int, p, t uint, isRagged bool, f func(after place)) {
	shift := bits.Len(p)
	subsets(p|t<<shift, func(landed uint) {
		after := l
		all.put(&after, number, landed&p, landed>>shift)
		rest := uint(0)
		if isRagged {
			rest = (p | t<<shift) &^ landed
		}
		subsets(rest, func(bad uint) {
			after := after
			for i := range shift {
				if bad>>i&1 != 0 {
					after.p[i] = sectorBad
				}
			}
			for i := range twinSectors {
				if bad>>shift>>i&1 != 0 {
					after.t[i] = sectorBad
				}
			}
			f(after)
		})
	})
}
