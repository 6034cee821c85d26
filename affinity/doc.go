// Package affinity finds the machine's cores, decides which stage runs on which, and pins threads
// and memory.
//
//	/sys, allowed set --System--> Topology \
//	                                        Place --> Plan: threads, their stages, --> Enter, on
//	configuration file ---------> Request  /          their cores                      each thread
//
// In:     sysfs below a root (a parameter, so that tests bring their own machines), the set of
// cores that this process may use, and the operator's request.
// Out:    a Plan; threads that are pinned to it; memory on its node. All of this happens at start,
// nothing on the data path.
// Owns:   nothing.
// Limits: cores 0 to 1023, nodes 0 to 63.
// Faults: containers hide some parts of sysfs. A missing part is replaced by the simplest
// assumption: every core is a physical core of node 0. If the operator names a core that does not
// exist, is offline or is not allowed, it is an error that tells the way out. If the kernel refuses
// something later (pinning, node, huge pages, locking), the caller gets an error to log once. The
// server goes on, because only speed depends on it.
// Source: design, sections 2 "Threads and small machines" and 7 "Configuration and operation".
//
// # Automatic placement
//
// The automatic placement needs a physical core for each stage that the operator has not placed,
// and one more for the clients, the runtime and interrupts. If one NUMA node has as many, each such
// stage gets a thread pinned to a core of its own, all on that node. The node is the one that the
// operator named, else the one nearest to the disk, else the one with most free cores. Half of the
// remaining cores there run more workers of compaction, up to four in all.
//
// With fewer cores, net, consensus, journal and apply take turns on one thread. Compaction has two
// others, of which the second works only when the first falls behind. (With a single core it has
// one.) No thread is pinned. A single small request then pays for two wakes, which it cannot avoid,
// and for no third. All threads have the same priority: a low one for compaction made the wait at
// the end of a bar longer than it saved elsewhere. This holds for 2 cores and for 1.
package affinity
