// Package bench puts load on a server and measures it.
//
//	Options --> [Load: accounts, transfers, queries, validation] --client.Session each--> a server
//	                 |  one Recorder per client: histogram, timeline
//	                 v
//	              Result --> text (the reference's lines), JSON, HTML with plots
//
// In a closed loop, each client sends its next batch when the previous one is answered. Latency is
// the time from sending to the answer. In an open loop (Options.TransferRate), batches are due at
// fixed times, and latency counts from these times. So a stall counts for every batch that it
// delayed, and not only for the batch that was in flight (coordinated omission).
//
// The payments workload (Options.Workload) has callers that share sessions instead of batches, and
// heavy readers (Options.ReadersCount) run beside either workload.
//
// In:     Options, checked; a running server, or a binary from which StartServer makes one on a
// temporary file.
// Out:    a Result; an error if the server refuses an event that it should accept, or, with
// Validate, if its content is different.
// Owns:   its sessions and, if started here, the server's process and data file.
// Limits: 64 clients by default of the servers; a batch is at most what fits one request.
// Faults: like any client, it waits for a server that does not answer until the context ends.
//
// The content of a workload is a function only of the seed and the batch's index. So it does not
// depend on the number of clients, and can be computed again to validate the content of the
// database.
//
// The tests here compare the parts of the server with the speed of the machine; see
// physical_test.go.
package bench
