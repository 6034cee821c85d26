package admin

// Figures collects the state of a server for the endpoint and for statsd, which share it because a
// source has one asker at a time.
type Figures struct{ *collector }

// NewFigures collects nothing until Attach.
func NewFigures(version string, pageBytes uint32) *Figures {
	return &Figures{newCollector(&Options{Version: version, PageBytes: pageBytes})}
}

// Attach makes source the source of all figures.
func (f *Figures) Attach(source Source) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.source = source
}

// Answers tells whether all stage threads answer. Before Attach there is none that does not.
func (f *Figures) Answers() (all bool) {
	f.mutex.Lock()
	isAttached := f.source != nil
	f.mutex.Unlock()
	if !isAttached {
		return true
	}
	all = true
	f.with(func(s *snapshot) {
		for i := range s.Threads {
			all = all && s.Threads[i].Answered
		}
	})
	return all
}
