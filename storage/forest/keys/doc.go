// Package keys has the keys and values of the forest's trees.
//
// In:     ids, ordinals, timestamps, expiries, values of indexed fields; accounts and expired rows.
// Out:    keys that compare as what they stand for, and values of a fixed size. They are on disk.
// Owns:   nothing: its functions are pure.
// Limits: a key has storage.KeyBytesMax bytes. In a posting, an ordinal of a transfer has 5 bytes,
// that of an account 4.
// Faults: none. Every key and value of the right size can be read.
// Source: the table of trees in package storage; docs/design/storage.md.
package keys
