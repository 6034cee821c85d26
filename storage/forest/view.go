package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/storage/forest/query"
	"ledger/storage/forest/rows"
)

// Moment is the end of what an op has left.
type Moment = rows.Moment

// View is the forest as of a moment, for the operations of accounting.ReadsHistory. Such a query
// may be suspended while later ops are executed, as long as no bar ends with a change: see
// BarChanges. It has the scans' buffers for itself, and shares pages with the forest. A query calls
// the methods below and no other one of accounting.Store.
type View struct {
	*Forest

	past      *rows.Past
	query     *query.Query
	rowsCount uint32 // that were returned since the last breath
}

var _ accounting.Store = (*View)(nil)

// NewView returns a view that has no moment yet.
func (f *Forest) NewView(a *arena.Arena) *View {
	v := &View{Forest: f, past: f.NewPast(a)}
	v.query = query.New(&f.limits, f.pages, f.levels, v.past.Reader())
	return v
}

// Set makes moment that of the next calls.
func (v *View) Set(moment *Moment) { v.past.Set(moment) }

// Reset forgets what was read, because the forest is given another state. There is no moment then.
func (v *View) Reset() {
	v.past.Reset()
	v.rowsCount = 0
}

// Check asserts that everything is where it was at the moment.
func (v *View) Check() { v.past.Check() }

// AccountFind implements accounting.Store. Balances are of any time.
func (v *View) AccountFind(id accounting.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	return v.past.AccountFind(id, account)
}

// AccountRead implements accounting.Store. Balances are of any time.
func (v *View) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	v.past.AccountRead(ordinal, account)
}

// TransfersOpen implements accounting.Store.
func (v *View) TransfersOpen(scan *accounting.TransferScan) { v.query.TransfersOpen(scan) }

// TransfersNext implements accounting.Store.
func (v *View) TransfersNext(row *accounting.TransferRow) bool {
	v.breatheRows()
	return v.query.TransfersNext(row)
}

// EventsOpen implements accounting.Store.
func (v *View) EventsOpen(timestampMin, timestampMax uint64) {
	v.query.EventsOpen(timestampMin, timestampMax)
}

// EventsNext implements accounting.Store.
func (v *View) EventsNext(row *accounting.EventRow) bool {
	v.breatheRows()
	return v.query.EventsNext(row)
}

// breatheRows ends a slice after a number of rows.
func (v *View) breatheRows() {
	if v.rowsCount++; v.rowsCount >= v.Forest.limits.QuerySliceRows {
		v.rowsCount = 0
		v.Forest.pages.Breathe()
	}
}

// Breathe implements accounting.Store. The rows breathe more often.
func (v *View) Breathe() {}
