// Package lint has no code: its tests read the source of the repository and hold it to the rules of
// its architecture.
//
// In:     all Go files of the repository, but for those in folders named testdata.
// Out:    a failing test for each rule that is broken, with file, line and the way out.
// Owns:   nothing.
// Limits: names are resolved in the build without tags; files that only a tag brings in count by
// the names they mention.
// Faults: every rule has a tree in testdata that breaks it, and a test that it is found there.
// Source: docs/architecture.md.
//
// The rules, each in a file of its own:
//
//	purity_test.go   no clock, file, socket, thread or unseeded randomness in stages
//	layers_test.go   no import runs upward
//	length_test.go   140 columns of code, 100 of prose
//	unused_test.go   no exported name without a user
//	sleep_test.go    no test that sleeps once, for a guessed time
//	blobs_test.go    no built or large file
//	documents_test.go  each test that a document names exists
package lint
