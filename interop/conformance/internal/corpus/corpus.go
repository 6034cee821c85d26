// Package corpus reads and writes corpora: files of requests and the replies that
// the reference server gave to them. README.md describes the format.
package corpus

import "ledger/interop/conformance/internal/proto"

// A Step is one thing to do in a replay.
type Step struct {
	Kind StepKind
	// Exchange is the request and its reply, for Call and Poll.
	Exchange Exchange
	// Milliseconds is how long to sleep, for Sleep.
	Milliseconds int
	// Lanes are sequences of exchanges to run at the same time, for Parallel.
	Lanes [][]Exchange
}

// StepKind says what a step does.
type StepKind int

const (
	// Call sends one request and compares its reply.
	Call StepKind = iota
	// Poll repeats a request until its reply is the recorded one or time runs out.
	Poll
	// Sleep waits.
	Sleep
	// Parallel runs several lanes of calls at the same time through one client.
	Parallel
)

// An Exchange is a request and the reply to it.
type Exchange struct {
	Request proto.Request
	Reply   proto.Reply
}

// Exchanges calls visit for every exchange in the step.
func (s *Step) Exchanges(visit func(*Exchange)) {
	switch s.Kind {
	case Call, Poll:
		visit(&s.Exchange)
	case Parallel:
		for _, lane := range s.Lanes {
			for i := range lane {
				visit(&lane[i])
			}
		}
	}
}

// Header says where a corpus comes from.
type Header struct {
	Profile string
	Seed    uint64
	// Client is the version of the client library that recorded the corpus.
	Client string
}

// The words of the format.
const (
	magic        = "conformance-corpus 1"
	wordCall     = "call"
	wordPoll     = "poll"
	wordSleep    = "sleep"
	wordParallel = "parallel"
	wordLane     = "lane"
	wordJoin     = "join"
	wordEnd      = "end"
)
