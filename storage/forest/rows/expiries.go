package rows

import "ledger/accounting"

// warmExpiries starts reads of the rows that a pulse will need after the row of ordinal.
func (s *Rows) warmExpiries(ordinal accounting.TransferOrdinal) {
	index, ok := s.expiry.Removal(ordinal)
	if !ok {
		return
	}
	for pass := range s.expiry.Passes() {
		for s.pages.InFlight() < warmReadsMax {
			next, ok := s.expiry.Ahead(pass, index)
			if !ok {
				break
			}
			if s.pendings.find(next) == nil {
				s.warmRow(next)
			}
		}
	}
}

// ExpiryAdd implements accounting.Store.
func (s *Rows) ExpiryAdd(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	s.expiry.Add(expiresAtNs, ordinal)
}

// ExpiryRemove implements accounting.Store.
func (s *Rows) ExpiryRemove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	s.expiry.Remove(expiresAtNs, ordinal)
}

// ExpiryFirst implements accounting.Store.
func (s *Rows) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	return s.expiry.First()
}
