// Package sim runs machines, their clients and the network between them in one goroutine,
// controlled by a seed.
//
//	World: virtual time, a seeded order of turns, the directed paths between all computers
//	|
//	+-- Cluster: an id, limits, clients, the Judge of what it has committed
//	|   |
//	|   '-- Machine: clocks, shares of turns, faults, a life of its own
//	|                                                  .------ consensus ------.
//	|   clients <==bytes, paths==> [Network] <==> net -+                       +- apply <==> compact
//	|      |                           ^               '------- journal -------'    |           |
//	|      |                           |                           |                |           |
//	|      |               bytes of other machines          [Disk ports] <----------+-----------'
//	|      |                                                       |
//	|      |                                  damage --> [Image: sectors] --writes--> [Medium]
//	|      |                                                                             |
//	|      '--frames, finished exchanges--> [Judge: the model] <--ops that are durable---'
//	|
//	+-- Cluster: nothing of one reaches another
//	|
//	'-- Cluster of several replicas: a seed of its own, see "Clusters"
//
// The stages are the production ones, and replica.Open and replica.New start them. The simulator
// replaces the ports. Its disk knows which writes would survive a power cut. Its network cuts
// streams at any byte. Everything random is drawn from one seed, so a seed replays a run exactly.
// The limits are drawn too. They are small, so that the log wraps, tables merge and checkpoints
// happen all the time.
//
// # Lives
//
// A World has one machine, and in every eighth run two or three. Each of them is a cluster of one.
// A machine's life has these parts:
//
//   - format;
//   - work, crash, damage that one replica can repair, and restart, as often as the seed says;
//   - the faults end, and every client must get its reply;
//   - queries compare the whole state, before and after another restart;
//   - in some runs, damage beyond repair, at rest or under load, which the replica must name.
//
// A life is straight-line code. With several machines, each life is a coroutine, and the world
// resumes one of them for each step. Crashes, damage and calm are those of one machine; the others
// go on. Three of four lives are long: at least 2,000 ops in small batches. The others are short
// and have large batches, or are deep and have many levels.
//
// # Clusters
//
// With Options.Several, a world is one cluster of 2 to 6 replicas, half of the time of three. Each
// has a machine of its own, with a start, a disk, clocks and paths to the others. In a quarter of
// the seeds, one or two standbys come behind them; the seed alone draws that. The faults strike
// them as well; what they have counts for no quorum, and no fault may rely on their copies. The
// cluster has one life:
//
//   - format, and clients that know all addresses;
//   - work, and faults as often as the seed says: crashes, power cuts of one machine and of all,
//     crashes at certain writes, pauses, cuts in both and in one direction, splits, slow disks and
//     paths, clocks that jump, and damaged logs; a seed draws how often each kind comes;
//   - the faults end: every client must get its reply, queries compare the whole state, and all
//     replicas must come to the same op and the same checkpoint, page by page;
//   - in half of the runs all that once more, behind a power cut of all machines.
//
// What is committed is decided by package oracle. A witness observes each disk, and every message
// between replicas is judged when it leaves: what it asserts has to be durable, what it calls
// committed has to be committed, and a vote must not change.
//
// A log entry is damaged on one machine at most, and only if another machine has it or nobody has
// acknowledged it. Torn writes come on top. A block of the grid is damaged, or its write is lost or
// goes astray, only while another machine has it whole and durable (oracle.Blocks), in a data file
// that stays. The same ledger demands that all machines write the same blocks at an address, that
// none is written over that a checkpoint of too few machines replaces, that a superblock names only
// what is durable, and that the header page of a repair comes behind its other pages.
//
// In a sixth of the seeds, data files are lost as a whole (severalreplace.go). What is committed is
// whole on the others then, and no log is damaged until the new file is there. An operator does
// what ledger recover does: a client has the new file named, and a pipeline of ops committed; the
// file is made by the same function. Sometimes the lost file is started again by mistake. The
// oracle counts what a file promises only if the prepare itself names that file.
//
// In a sixth of the seeds, the machines get programs that offer the next release, one after the
// other (severalupgrade.go); the oracle knows from the log which release executes an op. Half of
// the clusters have a key (keys.go), which is replaced again and again, and a third of those have
// an attacker between the machines (severalattack.go).
//
// # Clocks
//
// The world has one time. The clocks of a machine are up to 500 millionths faster or slower. They
// begin anew after a power cut. The wall clock also jumps by up to two seconds, and is sometimes
// hours ahead, as after a night. Drivers see only the clocks of their machine.
//
// # Network
//
// Computers are machines, and those of the clients. A path leads from one computer to another; the
// way back is a path of its own. Connections are TCP, between clients and machines as well as
// between machines, so a path acts on a stream and not on messages:
//
//	fault of the path      what the ends of a connection see
//	-----------------      ---------------------------------
//	delay                  bytes come late, in pieces of any size
//	loss                   the piece, and all behind it, come up to 0.3 s later
//	reordering             within a connection a delay; requests that are sent again on another
//	                       connection overtake, or are overtaken by, those on the old one
//	duplication            within a connection nothing; a handshake that comes twice is a connection
//	                       that nobody uses; requests and replies come twice over two connections
//	corruption             one bit of a piece changes, and TCP does not see it; the checksums of
//	                       messages must, and whoever finds it ends the connection
//	cut, in one direction  what is on the path waits. Sent bytes go the other way all the same. After
//	                       1 to 2 s the sender gives up; the other end learns of it up to 10 s later
//	power cut of the end   the other end learns of it up to 2 s later
//
// A client knows several addresses, and has a connection to each, as official clients do. In this
// version they are one machine under several names, or addresses at which nobody answers, so that a
// client has to go round. An address may also lead to another machine for a while. That one has
// another cluster, and must not answer.
//
// # Judges
//
// Medium observes the writes of one machine, so it knows which ops are durable there, and what the
// next start has to find. It tells the Judge of its cluster, whose model executes each committed op
// and knows every reply. In a cluster of one, a durable op is committed.
//
// The log alone decides the content of the grid. Two others must come to the same checkpoints: a
// copy of the medium, and another machine that executes the whole log from an empty file on. Each
// is a Machine on a bench, which is a world without clients, and has its own restarts, caches and
// timing.
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
// Limits: those of Limits; the bounds of a run in life.go.
// Faults: a panic of the code under test is a finding like any other.
// Source: design, section 6; consensus, sections 8, 14, 18, 19; cluster, section 10.
package sim
