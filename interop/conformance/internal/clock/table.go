// Package clock keeps the relation between the timestamps of one server and the
// names under which a corpus knows them.
package clock

import (
	"fmt"
	"sync"

	"ledger/interop/conformance/internal/proto"
)

// Table is a one-to-one relation between timestamps and names. It may be used by
// several goroutines.
type Table struct {
	mutex sync.Mutex
	// values holds the timestamp of each name without an offset.
	values map[proto.Time]uint64
	// names holds the name of each timestamp; names given to imported events may
	// have an offset or be plain numbers.
	names map[uint64]proto.Time
	// latest is the largest timestamp that the server has assigned to an event.
	latest uint64
	fresh  int32
}

// NewTable makes an empty table.
func NewTable() *Table {
	return &Table{values: map[proto.Time]uint64{}, names: map[uint64]proto.Time{}}
}

// Latest is the largest timestamp seen that the server assigned to an event.
func (t *Table) Latest() uint64 {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.latest
}

// Resolve turns a name into the number that this server knows.
func (t *Table) Resolve(name proto.Time) (uint64, error) {
	if name.IsPlain() {
		return name.Value, nil
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	value, ok := t.values[name.Base()]
	if !ok {
		return 0, fmt.Errorf("the timestamp %v was never returned by the server", name)
	}
	return value + name.Value, nil
}

// Alias gives a name to a timestamp that the user chose for an imported event.
// A timestamp that has a name keeps it.
func (t *Table) Alias(name proto.Time, value uint64) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if _, ok := t.names[value]; !ok {
		t.names[value] = name
	}
}

// Name returns the name of a timestamp.
func (t *Table) Name(value uint64) (proto.Time, bool) {
	if value == 0 {
		return proto.Time{}, true
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	name, ok := t.names[value]
	return name, ok
}

// Bind gives a name without an offset to a timestamp that has no name yet. It is
// an error if the name is taken: one name would have two timestamps. For an event
// of a request, the timestamp must be later than after.
func (t *Table) Bind(name proto.Time, value, after uint64) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if known, ok := t.values[name]; ok {
		return fmt.Errorf("%v is %d already and cannot also be %d", name, known, value)
	}
	if other, ok := t.names[value]; ok {
		return fmt.Errorf("%d is the timestamp of %v already and cannot also be %v", value, other, name)
	}
	if value <= after {
		return fmt.Errorf("timestamps must increase: %v is %d, but %d was assigned before it",
			name, value, after)
	}
	t.values[name] = value
	t.names[value] = name
	if name.Request != proto.Fresh {
		t.latest = max(t.latest, value)
	}
	return nil
}

// IsBound tells whether a name has a timestamp.
func (t *Table) IsBound(name proto.Time) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	_, ok := t.values[name.Base()]
	return ok
}

// BindFresh makes up a name for a timestamp that belongs to no event of a request.
func (t *Table) BindFresh(value uint64) (proto.Time, error) {
	t.mutex.Lock()
	t.fresh++
	name := proto.Time{Request: proto.Fresh, Event: t.fresh}
	t.mutex.Unlock()
	return name, t.Bind(name, value, 0)
}
