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
