// Package sim runs a replica, clients, a disk and a network in one goroutine, controlled by a seed.
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
// The stages are the production ones. The simulator replaces the ports. Its disk knows which writes
// would survive a power cut. Its network cuts streams at any byte. Everything random is drawn from
// one seed, so a seed replays a run exactly. The limits are drawn too. They are small, so that the
// log wraps, tables merge and checkpoints happen all the time.
//
// A run has these parts:
//
//   - format;
//   - work, crash, damage that one replica can repair, and restart, as often as the seed says;
//   - the faults end, and every client must get its reply;
//   - queries compare the whole state, before and after another restart;
//   - in some runs, damage beyond repair, at rest or under load, which the replica must name.
//
// The log alone decides the content of the grid. Two others must come to the same checkpoints: a
// copy of the medium, and another machine that executes the whole log from an empty file on. Each
// has its own restarts, caches and timing.
//
// Strangers send what clients do not: noise, damaged and stolen messages, and requests that differ
// from a client's next one in one thing. Nothing of it may reach the log or end the connection of
// a client.
//
// The tests also prove that the simulator can fail. Package mutate plants each bug of testdata/bugs
// in copies of the source. A hunt runs seeds until one fails for the reason that the list names;
// another failure does not count. At last the same build hunts with no bug planted, and must find
// nothing. A bug that no seed finds asks for a better workload or oracle.
//
// In:     Options: a seed.
// Out:    Result, or a Failure with the command that replays it and its last steps.
// Owns:   everything; nothing leaves the process.
// Limits: those of Limits; StepsMax turns a run.
// Faults: a panic of the code under test is a finding like any other.
// Source: design, section 6; consensus, sections 8, 14, 18, 19.
package sim
