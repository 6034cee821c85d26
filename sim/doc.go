// Package sim runs a replica, clients, a disk and a network in one goroutine, by a seed.
//
//	      workload clients <==bytes==> [Network] <==> net
//	                                                   |       seeded turns of the five
//	seed --> [World: clock, scheduler]            consensus    stage drivers, on a virtual clock
//	                                              /    |
//	      [Image: sectors] <==[Disk ports]==> journal apply <==> compact
//	              ^   \
//	          damage   `--prepares, superblocks--> [Judge: the model, <--replies-- Network
//	                                                what was durable]
//
// The stages are the production ones. What the simulator replaces is behind ports: the disk keeps
// apart what was written and what would survive a power cut, the network cuts streams anywhere.
// Everything that happens is drawn from one seed, limits included (small ones, so that the log
// wraps, tables merge and checkpoints happen all the time), so a seed replays a run exactly.
//
// A run: format; then work, crash, damage what one replica can repair, restart, as often as the
// seed wants; then heal and demand that every client gets its answer; then compare the whole state
// by queries, before and after another restart; and last, in some runs, damage beyond repair, at
// rest or under load, which must be refused or named.
//
// The log alone decides what the grid holds: a copy of the medium, and another machine that
// executes the whole log from an empty file on, each with restarts, caches and timing of their own,
// must come to the same checkpoints.
//
// That the simulator can fail is tested as well: testdata/bugs has changes to the source, each of
// which it has to find.
//
// In:     Options: a seed.
// Out:    Result, or a Failure with the command that replays it and its last steps.
// Owns:   everything; nothing leaves the process.
// Limits: those of Limits; StepsMax turns a run.
// Faults: a panic of the code under test is a finding like any other.
// Source: design, section 6; consensus, sections 8, 14, 18, 19.
package sim
