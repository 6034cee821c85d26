package peer

// Times of connecting.
const (
	millisecond = 1_000_000
	// DialNsMin and DialNsMax bound the pause before a connection is tried again.
	DialNsMin = 50 * millisecond
	DialNsMax = 1000 * millisecond
	// RefusedNsMin and RefusedNsMax bound it after a refusal: somebody has to change something first.
	RefusedNsMin = 1000 * millisecond
	RefusedNsMax = 10_000 * millisecond
	// ResolveNs is the time in which a name must be resolved, ConnectNs that for a connection.
	ResolveNs = 10_000 * millisecond
	ConnectNs = 5000 * millisecond
	// SilentNs is the time after which an identified peer that says nothing is called anew.
	SilentNs = 10_000 * millisecond
)

// DialState says how far a connection to a peer is, for the metrics.
type DialState uint8

// The states. A peer of a higher index calls us: then there is no dialing, only being called.
const (
	DialAwaited   DialState = iota // the peer has to connect to us
	DialPausing                    // until the next try
	DialResolving                  // the name of its address
	DialConnecting
	DialGreeting // in the handshake
	DialLive
	DialClosing

	dialStatesCount
)

var dialStateNames = [dialStatesCount]string{"awaited", "pausing", "resolving", "connecting", "greeting", "live", "closing"}

// String returns the state's name in the metrics.
func (s DialState) String() string {
	if s < dialStatesCount {
		return dialStateNames[s]
	}
	return "unknown"
}

// dialer is how this replica connects to one peer of a lower index.
type dialer struct {
	state    DialState
	place    uint32 // of the connection: connecting, greeting, live
	tries    uint64 // number of the last try
	dueNs    uint64 // of the state's end: pausing, resolving, connecting
	failures uint32 // in a row
	refused  bool   // the last one was a refusal
}

// pause waits before the next try: min + random(0, min(max - min, min * 2^failures)).
func (d *dialer) pause(nowNs uint64, r *random) {
	least, most := uint64(DialNsMin), uint64(DialNsMax)
	if d.refused {
		least, most = RefusedNsMin, RefusedNsMax
	}
	spread := min(most-least, least<<min(d.failures, 16))
	d.state, d.dueNs = DialPausing, nowNs+least+r.below(spread+1)
	d.failures++
	d.refused = false
}
