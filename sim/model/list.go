package model

// Accounts returns all accounts in ascending order of timestamps.
func (m *Machine) Accounts() []*Account { return m.accountsInOrder }

// Transfers returns all transfers in ascending order of timestamps.
func (m *Machine) Transfers() []*Transfer { return m.transfersInOrder }

// EventStamps returns the timestamps of all change events, ascending.
func (m *Machine) EventStamps() []uint64 { return m.eventStamps }
