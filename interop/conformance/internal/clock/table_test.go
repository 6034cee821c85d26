package clock

import (
	"testing"

	"ledger/interop/conformance/internal/proto"
)

func TestBindAndResolve(t *testing.T) {
	table := NewTable()
	if err := table.Bind(proto.At(1, 0), 100, 0); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[proto.Time]uint64{
		proto.At(1, 0): 100, proto.At(1, 0).Plus(5): 105, proto.At(1, 0).Plus(-1): 99, proto.Plain(7): 7, {}: 0,
	} {
		if got, err := table.Resolve(name); err != nil || got != want {
			t.Errorf("%v is %d, %v; want %d", name, got, err, want)
		}
	}
	if name, ok := table.Name(100); !ok || name != proto.At(1, 0) {
		t.Errorf("100 is named %v", name)
	}
	if _, err := table.Resolve(proto.At(2, 0)); err == nil {
		t.Error("a name without a timestamp can be resolved")
	}
}

func TestBindIsOneToOne(t *testing.T) {
	table := NewTable()
	table.Bind(proto.At(1, 0), 100, 0)
	if err := table.Bind(proto.At(1, 0), 101, 0); err == nil {
		t.Error("a name has two timestamps")
	}
	if err := table.Bind(proto.At(1, 1), 100, 0); err == nil {
		t.Error("a timestamp has two names")
	}
	if err := table.Bind(proto.At(1, 2), 99, table.Latest()); err == nil {
		t.Error("a timestamp may go back")
	}
	if table.Latest() != 100 {
		t.Errorf("the latest timestamp is %d", table.Latest())
	}
}

func TestAlias(t *testing.T) {
	table := NewTable()
	table.Bind(proto.At(1, 0), 100, 0)
	table.Alias(proto.At(1, 0).Plus(10), 110)
	table.Alias(proto.Plain(100), 100) // Has a name already.
	if name, _ := table.Name(110); name != proto.At(1, 0).Plus(10) {
		t.Errorf("110 is named %v", name)
	}
	if name, _ := table.Name(100); name != proto.At(1, 0) {
		t.Errorf("100 is named %v", name)
	}
}

func TestFreshNamesDoNotCountAsLatest(t *testing.T) {
	table := NewTable()
	name, err := table.BindFresh(500)
	if err != nil || name.String() != "@x1" {
		t.Errorf("the first fresh name is %v, %v", name, err)
	}
	if table.Latest() != 0 {
		t.Errorf("the latest timestamp is %d", table.Latest())
	}
}
