// Package bench puts load on a server and says what came of it.
//
//	Options --> [Load: accounts, transfers, queries, validation] --client.Session each--> a server
//	                 |  one Recorder per client: histogram, timeline
//	                 v
//	              Result --> text (the reference's lines), JSON, HTML with plots
//
// In a closed loop each client sends its next batch when the last one is answered; latency is the
// time from sending to the answer. In an open loop (Options.TransferRate) batches have times at
// which they are due, whatever the server does, and latency counts from then: a stall is charged to
// every batch that it held up, not to the one that happened to be in flight (coordinated omission).
//
// In:     Options, checked; a running server, or a binary from which StartServer makes one on a
// temporary file.
// Out:    a Result; an error if the server refuses an event that it should accept, or, with
// Validate, has another content.
// Owns:   its sessions and, if started here, the server's process and data file.
// Limits: 64 clients by default of the servers; a batch is at most what fits one request.
// Faults: a server that does not answer is waited for until the context ends, like in any client.
//
// What a workload holds is a function of the seed and the batch's index alone, so it does not
// depend on the number of clients, and can be computed again to validate the database's content.
//
// The tests here hold the parts of the server against what the machine can do; see
// physical_test.go.
package bench
