package forest

import "ledger/accounting"

// warmExpiries starts reads of the rows that a pulse will need after the row of ordinal.
func (f *Forest) warmExpiries(ordinal accounting.TransferOrdinal) {
	index, ok := f.expiry.Removal(ordinal)
	if !ok {
		return
	}
	for pass := range f.expiry.Passes() {
		for f.pages.InFlight() < warmReadsMax {
			next, ok := f.expiry.Ahead(pass, index)
			if !ok {
				break
			}
			if f.pendings.find(next) == nil {
				f.warmRow(next)
			}
		}
	}
}

// ExpiryAdd implements accounting.Store.
func (f *Forest) ExpiryAdd(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	f.expiry.Add(expiresAtNs, ordinal)
}

// ExpiryRemove implements accounting.Store.
func (f *Forest) ExpiryRemove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	f.expiry.Remove(expiresAtNs, ordinal)
}

// ExpiryFirst implements accounting.Store.
func (f *Forest) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	return f.expiry.First()
}
