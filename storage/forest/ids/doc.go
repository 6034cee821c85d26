// Package ids finds ids and ordinals in memory: two hash tables, and one filter over all ids on
// disk.
//
//	accounting rules --id--> [Table] of the filling memtable
//	                         [Table] of the flushing memtable, unless the filter has its ids
//	                         [Filter] ----may be old----> filters of the runs
//	memtable -------ids----> [Filter]
//
// Both hash tables reserve memory for the largest number of entries and use only a part of it at
// first, sized for the expected load. The reason is that hashing touches every page of the part in
// use, and untouched pages cost no memory. Before an insert, the caller asks Full and, if it is,
// grows the table. Growing doubles the slots and inserts all entries again in their order, from the
// arrays to which the table's indexes point. A table never shrinks.
//
// In:     ids and their hashes, ordinals, ids of memtables.
// Out:    indexes into arrays of the caller, which compares the id; whether a covered run may hold
// an id.
// Owns:   the slots of the tables, the generations of the filter, and in them the room that a
// memtable has reserved.
// Limits: each structure has room for the number of entries that its constructor got. The filter
// may be full: then it says so before an id is added, and the ids' run is not covered.
// Source: docs/design/storage.md, "How ids and accounts are found".
package ids
