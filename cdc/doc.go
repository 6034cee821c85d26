// Package cdc is change data capture: it makes lines of the change events of a server.
//
// In:     change events.
// Out:    one JSON object per event, in the form of the reference's messages.
// Owns:   nothing.
// Limits: one reply of a server at a time.
// Faults: events that are out of order end the job.
// Source: docs/cdc.md; specification, "Accounting", 10.
package cdc
