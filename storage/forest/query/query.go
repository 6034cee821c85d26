package query

import (
	"ledger/limits"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/pages"
	"ledger/storage/forest/rows"
)

// Query has the scans of accounting.Store. At most one is open at a time.
type Query struct {
	pages     *pages.Reader
	levels    *levels.Levels
	rows      rows.Reader
	transfers transferScan
	accounts  accountScan
	events    eventScan
}

// New returns scans over the trees and the rows.
func New(l *limits.Limits, p *pages.Reader, trees *levels.Levels, reader rows.Reader) *Query {
	return &Query{
		pages: p, levels: trees, rows: reader,
		transfers: newTransferScan(l), accounts: newAccountScan(), events: newEventScan(),
	}
}
