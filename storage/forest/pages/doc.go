// Package pages reads pages of blocks for the parts of the forest.
//
// In:     a reference to a block and the number of one of its pages.
// Out:    the page, verified by the grid. Page waits until it is there; Try and Warm only start a
// read. While a page is read, Missing may ask for the pages of what comes next.
// Owns:   the fault that ended the forest, and the count of waits. The pages are the grid's; a page
// is valid until the next call that may wait.
// Limits: one waiter, which is the thread of apply. Others may not call it.
// Faults: a damaged page and a failing disk are faults of the grid. Fail adds those of the forest.
// The caller of Fail is never resumed: the stage sees Fault and stops the replica.
// Source: docs/design/storage.md.
package pages
