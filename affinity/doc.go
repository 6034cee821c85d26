// Package affinity says which cores there are and which stage runs on which, and puts threads and
// memory there.
//
//	/sys, allowed set --System--> Topology \
//	                                        Place --> Plan: threads, their stages, --> Enter, on
//	configuration file ---------> Request  /          their cores                      each thread
//
// In:     sysfs below a root (a parameter, so that tests bring their own machines), the set of
// cores this process may use, and what the operator asked for.
// Out:    a Plan; threads pinned to it; memory on its node. All of it at start, nothing on the data
// path.
// Owns:   nothing.
// Limits: cores 0 to 1023, nodes 0 to 63.
// Faults: a part of sysfs that is missing (containers hide some) is replaced by the simplest
// assumption: every core a physical core of node 0. A core that the operator named and that does
// not exist, is offline or not allowed is an error with the way out. What the kernel refuses later
// (pinning, node, huge pages, locking) is an error value for the caller to log once; the server
// goes on, since only speed depends on it.
// Source: design, sections 2 "Threads and small machines" and 7 "Configuration and operation".
//
// # Automatic placement
//
// With a physical core for each stage that was not placed by hand, and one more for the clients,
// the runtime and interrupts, each such stage gets a thread pinned to a core of its own, all on one
// NUMA node: the one asked for, else the one nearest to the disk, else the one with most free
// cores. Half of what is left over there is for more workers of compaction, up to four in all. With
// fewer, net, consensus, journal and apply take turns on one thread and compaction has two others
// (one where there is one core; the second works only when the first falls behind) of equal
// priority (a low one made the wait at the end of a bar longer than it spared), neither pinned: a
// lone small request then pays for the two wakes that it cannot avoid and for no third. That holds
// for 2 cores and for 1.
package affinity
