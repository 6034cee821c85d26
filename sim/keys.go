package sim

import (
	protocol "ledger/peer"
)

// keyring is the key of a cluster, which its operator replaces again and again. Half of the
// clusters have one.
//
//	step 0: {a}  1: {a, b}  2: {b, a}  3: {b}  4: {b, c}  5: {c, b} ...
//
// A machine reads the file when it starts. The next step begins with a start after all machines
// have read this one, so two of them are never more than one step apart, as docs/operations.md asks
// for.
type keyring struct{ step uint64 }

// hasKey tells whether the replicas share a key.
func (c *Cluster) hasKey() bool { return c.id.Lo&1 != 0 }

// keysOf are the keys of a machine that starts.
func (c *Cluster) keysOf(m *Machine) [][protocol.KeyBytes]byte {
	if !c.hasKey() {
		return nil
	}
	isRead := true
	for _, other := range c.machines {
		isRead = isRead && other.keyStep == c.keyring.step
	}
	if isRead {
		if c.keyring.step++; c.several != nil && c.keyring.step > 3 {
			c.several.marks.add(MarkRotated) // the first key is gone, and each machine has started without it
		}
	}
	m.keyStep = c.keyring.step
	return c.keyring.keys()
}

func (k *keyring) keys() [][protocol.KeyBytes]byte {
	key := func(number uint64) (key [protocol.KeyBytes]byte) {
		for i := range key {
			key[i] = byte(number>>(8*(i%8))) + 1
		}
		return key
	}
	older, newer := key(k.step/3), key(k.step/3+1)
	return [][][protocol.KeyBytes]byte{{older}, {older, newer}, {newer, older}}[k.step%3]
}
