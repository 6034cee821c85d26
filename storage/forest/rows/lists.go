package rows

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// indexList lists the rows that have a value in one indexed field.
type indexList struct {
	indexes []uint32
	count   uint32
}

// valueList lists the rows that have a value in one indexed field, with the values in an array of
// their width. A flush reads these arrays and leaves the rows alone, which are 272 bytes each.
type valueList struct {
	indexList      // the rows; only used with gaps
	gaps      bool // some row has no value, so the rows are listed; without gaps, entry i is of row i
	narrow    []uint32
	numbers   []uint64
	wide      []accounting.U128
}

// valueLists has one list for each indexed field.
type valueLists [keys.FieldsCount]valueList

func newValueLists(a *arena.Arena, rows uint64, name string, options, gaps arena.Options) (lists valueLists) {
	for i := range lists {
		lists[i].indexes = arena.SliceWith[uint32](a, rows, name, gaps)
		switch i {
		case keys.User128:
			lists[i].wide = arena.SliceWith[accounting.U128](a, rows, name, options)
		case keys.User64:
			lists[i].numbers = arena.SliceWith[uint64](a, rows, name, options)
		default:
			lists[i].narrow = arena.SliceWith[uint32](a, rows, name, options)
		}
	}
	return lists
}

// add adds the fields of a row that are not zero.
func (l *valueLists) add(index uint32, user128 accounting.U128, user64 uint64, user32, ledger uint32, code uint16) {
	if user128.Lo|user128.Hi != 0 {
		l[keys.User128].addWide(index, user128)
	}
	if user64 != 0 {
		l[keys.User64].addNumber(index, user64)
	}
	if user32 != 0 {
		l[keys.User32].addNarrow(index, user32)
	}
	if ledger != 0 {
		l[keys.Ledger].addNarrow(index, ledger)
	}
	if code != 0 {
		l[keys.Code].addNarrow(index, uint32(code))
	}
}

// column shows the list of one field. rows is the number of rows of the memtable. A query calls it
// while the memtable fills. Then the last rows may have no value, and no later row has revealed
// that gap yet.
func (l *valueList) column(rows uint32, out *storage.Columns) {
	if l.count < rows {
		if !l.gaps {
			l.noteGaps()
		}
		out.Rows = l.indexes[:l.count]
	}
	switch {
	case l.wide != nil:
		out.Wide = l.wide[:l.count]
	case l.numbers != nil:
		out.Numbers = l.numbers[:l.count]
	default:
		out.Narrow = l.narrow[:l.count]
	}
}

func (l *valueList) addNarrow(index, value uint32) {
	l.narrow[l.count] = value
	l.add(index)
}

func (l *valueList) addNumber(index uint32, value uint64) {
	l.numbers[l.count] = value
	l.add(index)
}

func (l *valueList) addWide(index uint32, value accounting.U128) {
	l.wide[l.count] = value
	l.add(index)
}

// add adds a row whose value is already in its array.
func (l *valueList) add(index uint32) {
	if !l.gaps {
		if index == l.count {
			l.count++
			return
		}
		l.noteGaps()
	}
	l.indexList.add(index)
}

func (l *valueList) noteGaps() {
	l.gaps = true
	for i := range l.indexes[:l.count] {
		l.indexes[i] = uint32(i)
	}
}

// seal completes the lists for their flush. rows is the number of rows of the memtable.
func (l *valueLists) seal(rows uint32) {
	for i := range l {
		if list := &l[i]; list.count < rows && !list.gaps {
			list.noteGaps()
		}
	}
}

func (l *indexList) add(index uint32) {
	l.indexes[l.count] = index
	l.count++
}
