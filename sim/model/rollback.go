package model

import (
	"maps"
	"reflect"
	"slices"
)

// copyState returns a full copy, which is the definition of a savepoint. Tests compare the undo
// list with it.
func (m *Machine) copyState() *Machine {
	c := NewMachine(m.messageBytesMax)
	for _, a := range m.accountsInOrder {
		copied := *a
		c.accounts[a.ID] = &copied
		c.accountsInOrder = append(c.accountsInOrder, &copied)
	}
	for _, t := range m.transfersInOrder {
		copied := *t
		c.transfers[t.ID] = &copied
		c.transfersInOrder = append(c.transfersInOrder, &copied)
	}
	c.deadIDs = maps.Clone(m.deadIDs)
	c.pending = maps.Clone(m.pending)
	for stamp, e := range m.events {
		copied := *e
		c.events[stamp] = &copied
	}
	c.eventStamps = slices.Clone(m.eventStamps)
	c.expiries = slices.Clone(m.expiries)
	c.accountStamps = maps.Clone(m.accountStamps)
	c.transferStamps = maps.Clone(m.transferStamps)
	return c
}

func (m *Machine) mustEqual(want *Machine) {
	equal := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			panic("model: after a rollback this differs from the savepoint: " + what)
		}
	}
	equal("accounts", m.accounts, want.accounts)
	equal("transfers", m.transfers, want.transfers)
	equal("dead ids", m.deadIDs, want.deadIDs)
	equal("pending", m.pending, want.pending)
	equal("events", m.events, want.events)
	equal("account stamps", m.accountStamps, want.accountStamps)
	equal("transfer stamps", m.transferStamps, want.transferStamps)
	// Nil and empty slices are the same list here.
	same := func(what string, same bool) {
		if !same {
			panic("model: after a rollback this differs from the savepoint: " + what)
		}
	}
	same("order of accounts", slices.EqualFunc(m.accountsInOrder, want.accountsInOrder, func(a, b *Account) bool { return *a == *b }))
	same("order of transfers", slices.EqualFunc(m.transfersInOrder, want.transfersInOrder, func(a, b *Transfer) bool { return *a == *b }))
	same("order of events", slices.Equal(m.eventStamps, want.eventStamps))
	same("expiries", slices.EqualFunc(m.expiries, want.expiries, func(a, b expiry) bool {
		return compareExpiries(a, b) == 0 &&
			*a.transfer == *b.transfer
	}))
}
