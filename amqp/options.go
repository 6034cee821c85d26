package amqp

import (
	"crypto/tls"
	"io"
	"time"

	"ledger/wire"
)

// Options of a sink.
type Options struct {
	Brokers     []string    // HOST:PORT, which are tried in turn; names are resolved at each connect
	TLS         *tls.Config // nil: no TLS
	VirtualHost string
	User        string
	Password    string
	Exchange    string // which is there already; "": the default one
	RoutingKey  string
	Cluster     wire.U128
	QueueType   string // of the progress queue: QueueQuorum, or "" for that which the broker gives it
	// TimestampLast replaces the saved progress; nil: it does not.
	TimestampLast *uint64
	EventsMax     uint32        // of a batch
	Timeout       time.Duration // of each answer of a broker
	Messages      io.Writer
	Changed       func(State) // is called when the state changes; nil: nobody is interested
}

// QueueQuorum is the type of queues that are on several members of a cluster.
const QueueQuorum = "quorum"

// State of a sink.
type State int

// States. A sink that is on standby is connected, and waits for the job that has the locker queue.
const (
	Connecting State = iota
	Standby
	Publishing
)

func (o *Options) changed(state State) {
	if o.Changed != nil {
		o.Changed(state)
	}
}

func (o *Options) progressQueue() string { return progressPrefix + o.Cluster.String() }

func (o *Options) lockerQueue() string { return lockerPrefix + o.Cluster.String() }
