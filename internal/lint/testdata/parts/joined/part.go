package joined

// part has methods, so its fields are its own.
type part struct {
	count int
}

func (p *part) raise() { p.count++ }

// record has no methods.
type record struct {
	value int
}

func sum(r record) int {
	r.value++
	return r.value
}

// Note is called by others.
func Note(w *Whole) {
	w.last = sum(record{value: 1})
	w.Shown = w.last
}
