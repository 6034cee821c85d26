package vsr

// The oracle knows nothing of rows, verdicts or copies. It knows what happened: which prepares a
// replica may have acknowledged, which of them a later view has left out, and what the disk did. It
// judges what the replica would answer to its peers.

// answers of a replica about the op under test.
type answers struct {
	head       int
	mayBeAbove bool  // the op is above the head, and the replica says that it may have acknowledged it
	has        uint8 // bits of the prepares that it says it has
	nacks      bool  // it says that it never acknowledged any
	isFaulty   bool  // it says neither
}

// judge asks: could this op have been acknowledged? It returns what is wrong with the answers.
func (w *slotWorld) judge(r *replica, a *answers) string {
	owed := r.truth.owed
	// A view may take up again what the view before it left out. The header of such a prepare proves
	// that it was durable here, and it was.
	isBack := r.list == uint8(listHas) && r.truth.once>>r.listed&1 != 0
	switch {
	case owed != 0 && a.nacks:
		return "an op that may have been acknowledged is nacked"
	case owed != 0 && a.head < w.op && !a.mayBeAbove:
		return "an op that may have been acknowledged is above a head that is said to be certain"
	case owed != 0 && a.has&owed != owed && !a.isFaulty:
		return "what may have been acknowledged is neither there nor faulty"
	case owed != 0 && a.has&owed != owed && !r.truth.isRotten:
		return "a crash alone has lost what may have been acknowledged"
	case owed == 0 && a.isFaulty && !isBack && !w.isEager && !r.truth.isRotten && !r.truth.isOldRotten && !r.isCommitKnown:
		return "after crashes alone the op may neither be nacked nor read, so a view change may wait for it for ever"
	case a.has != 0 && a.nacks:
		return "an op that is there is nacked"
	}
	// What is said to be there is whole, and not ruled out by the view for which the replica will
	// vote.
	for number := 1; number <= w.views; number++ {
		if a.has>>number&1 == 0 {
			continue
		}
		if !w.all.isWholeIn(r.place.p[:], number) && !w.all.isWholeIn(r.place.t[:], number) {
			return "what is said to be there is not whole"
		}
		if int(r.logView) < number {
			return "a prepare is said to be there whose view never became durable"
		}
		if r.list == uint8(listHas) && int(r.listed) != number || r.list == uint8(listEndsBelow) && number != int(r.logView) {
			return "a prepare is said to be there that the durable view leaves out"
		}
	}
	// One bad copy of a small prepare is no loss, unless a lost write has left the header of
	// another view's prepare in its place.
	names := 0
	for number := 1; number <= w.views; number++ {
		if first := w.all[number].at(number, 0); r.place.p[0] == first || r.place.t[0] == first {
			names++
		}
	}
	for number := 1; number <= w.views; number++ {
		if owed>>number&1 != 0 && a.has>>number&1 == 0 && w.all[number].isSmall() && names == 1 {
			return "a small prepare of which one copy is good is not used"
		}
	}
	return ""
}

// judge asks of a single replica that started: is every op there that may have been acknowledged?
func (w *aloneWorld) judge(r *alone, head int) string {
	for i, number := range r.truth.acknowledged {
		switch {
		case number != 0 && head < w.first+i:
			return "the log ends before an op that was acknowledged"
		case number != 0 && r.held[i] != number:
			return "an op that was acknowledged is another one now"
		case number == 0 && head > w.first+i:
			return "an op is there that was never prepared"
		}
	}
	for i, number := range r.held {
		if l := &r.places[w.slotOf(i)]; number != 0 && !w.all.isWholeIn(l.p[:], int(number)) && !w.all.isWholeIn(l.t[:], int(number)) {
			return "what is said to be there is not whole"
		}
	}
	return ""
}

// judgeRefusal asks whether something happened that one replica cannot mend.
func (w *aloneWorld) judgeRefusal(r *alone) string {
	for i, number := range r.truth.acknowledged {
		switch isRotten := (r.truth.rotten|r.truth.oldRotten)>>i&1 != 0; {
		case isRotten && number == 0: // a fault where the crash tore: two events in one slot
			return ""
		case isRotten && !w.all[number].isSmall():
			return ""
		}
	}
	if r.truth.rotten|r.truth.oldRotten == 0 {
		return "what crashes alone have left is refused"
	}
	return "a log is refused of which each op has a good copy"
}
