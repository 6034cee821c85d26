package consensus

// status is what the replica does.
//
//	catching up ---- commit_min has reached the head of the start ----> serving
//	      |                                                                |
//	      +------------------- a fault of any stage -----------------------+--> failed
//
// Only a serving replica takes requests. A failed one gives messages back, and does nothing else.
type status struct {
	hasServed bool
	hasFailed bool
}

func (s *status) isServing() bool    { return s.hasServed && !s.hasFailed }
func (s *status) isCatchingUp() bool { return !s.hasServed }
func (s *status) isFailed() bool     { return s.hasFailed }

func (s *status) serve() { s.hasServed = true }
func (s *status) fail()  { s.hasFailed = true }

// stepDown: the replica is primary no more, and takes no requests.
func (s *status) stepDown() { s.hasServed = false }
