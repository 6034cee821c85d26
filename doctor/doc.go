// Package doctor examines what a server depends on: the kernel, the machine, the disk, the data
// file, and the servers of a cluster as a client sees them.
//
//	Subject (file, addresses, cluster) --> checks, in order --> Result: state, finding, remedy
//	                                          |
//	                                        Probes: what the checks ask the machine and the network
//
// In:     a Subject; what is not named is not examined.
// Out:    one Result for each check: ok, warning, failure or skipped. Every warning and failure has
// a remedy.
// Owns:   a temporary file beside the data file while the disk is measured.
// Limits: some seconds; the file has timedLargeCount MiB.
// Faults: what cannot be found out is a warning that says so. There is no error.
// Source: docs/doctor.md, whose table names each check, what it finds wrong, and its test.
//
// A failure is what keeps a server from starting or serving, or may lose data. A warning is what
// makes it slower or less safe than it could be.
package doctor
