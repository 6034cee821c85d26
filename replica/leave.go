package replica

import (
	"ledger/affinity"
	"ledger/stages"
)

// Leave tells the replica that its process is about to end. Any thread may call it. The thread of
// consensus has to be woken then. Options.Left is called when there is nothing to wait for.
func (r *Replica) Leave() { r.leaves.Store(true) }

// Leave tells a server that runs that it is about to be stopped. The channel is closed when there
// is nothing to wait for. That is so at once, unless the server is a single replica and has much in
// its log behind the newest checkpoint: then it takes another one first, so that the next start is
// short. It serves no requests meanwhile. Nothing is lost if it is not waited for.
func (s *Server) Leave() <-chan struct{} {
	s.replica.Leave()
	waker := s.threads[s.plan.Thread(affinity.Stage(stages.Consensus))].parker.Waker()
	waker.Wake()
	return s.left
}
