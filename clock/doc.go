// Package clock has the time of the cluster: an interval in which the true time lies if a majority
// of the replicas' clocks are right. It is pure: times are arguments.
//
//	pings and pongs --samples--> [window] --Marzullo--> [epoch] --clamps the wall clock--> timestamps
//
// In:     two readings of the replica's own clocks with every call: nowNs of the monotonic clock,
// which nobody sets, and wallNs, which may jump. (docs/design/cluster.md says which readings a
// sample has, and what follows if the monotonic clock stands still while the machine sleeps.)
// Out:    the cluster's time, or that it is not known.
// Owns:   its samples.
// Limits: limits.ReplicasMax replicas. One replica alone has nobody to compare with: its wall clock
// is the cluster's time.
// Faults: clocks that are wrong, that jump and that drift; messages that are delayed in one
// direction, lost, doubled or reordered. Without agreement there is no time, and a primary that has
// none gives way.
// Source: consensus, 6.3; docs/design/cluster.md.
//
// A replica pings all others every second. A pong has the time of the peer's wall clock. From the
// time between ping and pong follow how far the peer's clock is ahead, and how wrong that can be:
//
//	          sentNs                        nowNs           own monotonic clock
//	-------------|----------- ping            |------------>
//	                 \                   /
//	                      \         pong
//	---------------------------|--------------------------->
//	                      remoteWallNs                       the peer's wall clock
//
//	offset = remoteWallNs + (nowNs - sentNs)/2 - own time at nowNs
//	error  = (nowNs - sentNs)/2 at most
//
// Samples are collected in a window of 2 to 20 seconds. Within a window, own time is the wall clock
// at its begin and what the monotonic clock has counted since, so a jump of the own wall clock does
// not disturb. Of each peer, the sample of the smallest error is kept. The own clock is a source
// as well, of offset 0. (That of a standby is not, so that it cannot decide anything.)
//
// When the window is 2 seconds old, Marzullo's algorithm looks for an interval that a quorum of the
// sources agrees on. Every source may be wrong by a tolerance, which begins at 10 s and is halved
// as long as a quorum agrees. The last interval becomes the epoch, and a new window begins. Time is
// read by clamping the wall clock into the epoch's interval, which moves on with the monotonic
// clock and becomes wider by what clocks may drift. An epoch ends 60 s after its agreement.
package clock
