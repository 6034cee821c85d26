package vsr

// StartList makes the list of a start_view, which is also what the superblock has of a view's log:
// a pipeline of headers from the head down, at least to what is committed, and behind them hooks:
// headers of ops that lie further back, by falling op, with which a replica that is a lap behind
// can begin to repair. There is no list (ok is false) if a header above commitMax is not known, or
// does not follow the one below.
func StartList(log Log, head, commitMax uint64, hooks ...uint64) (l List, ok bool) {
	for op := head; ; op-- {
		h := log.Entry(op).Header
		if l.Count == BallotHeadersMax {
			break
		}
		if h.Blank || l.Count > 0 && l.Headers[l.Count-1].Parent != h.Checksum {
			if op >= commitMax || l.Count == 0 {
				return List{}, false
			}
			break
		}
		l.Headers[l.Count] = h
		l.Count++
		if op == 0 {
			break
		}
	}
	if l.Lowest() > commitMax {
		return List{}, false // more than a pipeline
	}
	for _, op := range hooks {
		if h := log.Entry(op).Header; !h.Blank && op < l.Lowest() && l.Count < StartHeadersMax {
			l.Headers[l.Count] = h
			l.Count++
		}
	}
	return l, true
}

// RefreshList makes the list that goes into the superblock with a checkpoint, in the view of
// log_view: that of the highest op down from the head that has one. So a restart finds its head at
// or above the checkpoint's trigger, which is executed. The list never ends below the one before:
// above its head, recovery drops what an older view prepared.
func RefreshList(log Log, before *List, head, commitMax uint64, hooks ...uint64) List {
	for op := head; op > before.Head(); op-- {
		if l, ok := StartList(log, op, min(commitMax, op), hooks...); ok {
			return l
		}
	}
	return *before
}
