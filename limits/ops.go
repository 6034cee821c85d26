package limits

// OpEventsMax is the largest number of events in one op. An op of any start must fit, because a log
// may be replayed with other limits. So the size of a message counts, not that of a request.
func (l *Limits) OpEventsMax() uint32 { return l.BodyBytesMax() / 128 }

// MemtableRowsMax is the largest number of rows (transfers, dead ids, accounts, expiries) that a
// memtable can hold: one row less than the seal, plus a whole bar of full ops.
func (l *Limits) MemtableRowsMax() uint32 { return l.MemtableRowsSeal - 1 + l.BarOps*l.OpEventsMax() }
