package runner

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/fakeserver"
	"ledger/interop/conformance/internal/proto"
)

// script is a small workload that uses every kind of timestamp.
func script() []*corpus.Step {
	number := 0
	call := func(kind corpus.StepKind, request proto.Request) *corpus.Step {
		number++
		request.Number = number
		return &corpus.Step{Kind: kind, Exchange: corpus.Exchange{Request: request}}
	}
	account := func(id uint64) proto.Account { return proto.Account{ID: proto.N(id), Ledger: 1, Code: 1} }
	transfer := func(id uint64, timeout uint32) proto.Transfer {
		return proto.Transfer{ID: proto.N(id), Amount: proto.N(id), Ledger: 1, Code: 1, Timeout: timeout}
	}
	imported := transfer(50, 0)
	imported.Flags, imported.Timestamp = proto.TransferImported, proto.At(2, 2).Plus(5)
	literal := transfer(51, 0)
	literal.Flags, literal.Timestamp = proto.TransferImported, proto.Plain(77)
	bad := account(9)
	bad.Code = 0

	return []*corpus.Step{
		call(corpus.Call, proto.Request{Op: proto.CreateAccounts, Accounts: []proto.Account{account(1), account(2), account(1), bad}}),
		call(corpus.Call, proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{transfer(1, 1), transfer(2, 0), transfer(3, 2)}}),
		{Kind: corpus.Sleep, Milliseconds: 1},
		call(corpus.Call, proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{literal, imported, imported}}),
		call(corpus.Poll, proto.Request{Op: proto.LookupAccounts, IDs: []proto.U128{proto.N(1), proto.N(7), proto.N(2)}}),
		call(corpus.Call, proto.Request{Op: proto.LookupTransfers, IDs: []proto.U128{proto.N(50), proto.N(51), proto.N(2)}}),
		call(corpus.Call, proto.Request{Op: proto.QueryTransfers, QueryFilter: &proto.QueryFilter{
			TimestampMin: proto.At(2, 0).Plus(1), TimestampMax: proto.At(2, 2), Limit: 5}}),
		call(corpus.Call, proto.Request{Op: proto.GetChangeEvents, ChangesFilter: &proto.ChangesFilter{Limit: 10}}),
		{Kind: corpus.Parallel, Lanes: [][]corpus.Exchange{
			{call(0, proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{transfer(60, 0)}}).Exchange,
				call(0, proto.Request{Op: proto.LookupTransfers, IDs: []proto.U128{proto.N(60)}}).Exchange},
			{call(0, proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{transfer(61, 0)}}).Exchange},
		}},
		call(corpus.Call, proto.Request{Op: proto.LookupTransfers, IDs: []proto.U128{proto.N(61), proto.N(60)}}),
	}
}

// quick makes a runner that does not wait.
func quick(server Sender) *Runner {
	r := New(server)
	r.Sleep = func(time.Duration) {}
	r.PollFor = 3 * pollEvery
	return r
}

func record(t *testing.T) []*corpus.Step {
	t.Helper()
	steps := script()
	r := quick(fakeserver.New(1_000_000, 1))
	for _, step := range steps {
		if err := r.Record(step); err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

func replay(t *testing.T, steps []*corpus.Step, server Sender) (all []*Mismatch) {
	t.Helper()
	r := quick(server)
	for _, step := range steps {
		mismatches, err := r.Replay(step)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mismatches...)
	}
	return all
}

func TestNamesOfTimestamps(t *testing.T) {
	steps := record(t)
	results := steps[0].Exchange.Reply.Results
	for i, want := range []proto.Time{proto.At(1, 0), proto.At(1, 1), proto.At(1, 0), proto.At(1, 3)} {
		if results[i].Timestamp != want {
			t.Errorf("result %d has timestamp %v, want %v", i, results[i].Timestamp, want)
		}
	}
	results = steps[3].Exchange.Reply.Results
	for i, want := range []proto.Time{proto.Plain(77), proto.At(2, 2).Plus(5), proto.At(2, 2).Plus(5)} {
		if results[i].Timestamp != want {
			t.Errorf("imported: result %d has timestamp %v, want %v", i, results[i].Timestamp, want)
		}
	}
	changes := steps[7].Exchange.Reply.Changes
	if last := changes[len(changes)-1].Timestamp; last.String() != "@x2" {
		t.Errorf("the timestamp of an expiry is named %v", last)
	}
	if rows := len(steps[6].Exchange.Reply.Transfers); rows != 2 {
		t.Errorf("the query by time returns %d rows, want 2", rows)
	}
}

// TestReplayElsewhere replays against servers whose clocks differ in start and pace.
func TestReplayElsewhere(t *testing.T) {
	steps := record(t)
	for _, gap := range []uint64{1, 7, 1000} {
		for _, mismatch := range replay(t, steps, fakeserver.New(5_000_000_000, gap)) {
			var text strings.Builder
			mismatch.Print(&text, 10)
			t.Errorf("gap %d: %s", gap, &text)
		}
	}
}

// TestSpoiledReplies replays against servers that make one mistake each.
func TestSpoiledReplies(t *testing.T) {
	steps := record(t)
	for name, spoil := range map[string]func(*proto.Request, *proto.Reply){
		"wrong status": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 1 {
				r.Results[3].Status = 13
			}
		},
		"status of the past": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 1 {
				r.Results[2].Timestamp = r.Results[1].Timestamp
			}
		},
		"own timestamp for exists": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 1 {
				r.Results[2].Timestamp.Value = r.Results[1].Timestamp.Value + 1
			}
		},
		"timestamps go back": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 2 {
				r.Results[0].Timestamp, r.Results[1].Timestamp = r.Results[1].Timestamp, r.Results[0].Timestamp
			}
		},
		"one timestamp twice": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 2 {
				r.Results[1].Timestamp = r.Results[0].Timestamp
			}
		},
		"timestamp before an earlier request": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 2 {
				r.Results[0].Timestamp.Value = 5
			}
		},
		"imported at another time": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 3 {
				r.Results[0].Timestamp.Value++
			}
		},
		"missing row": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.LookupAccounts {
				r.Accounts = r.Accounts[1:]
			}
		},
		"extra result": func(q *proto.Request, r *proto.Reply) {
			if q.Number == 2 {
				r.Results = append(r.Results, r.Results[0])
			}
		},
		"swapped rows": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.QueryTransfers {
				r.Transfers[0], r.Transfers[1] = r.Transfers[1], r.Transfers[0]
			}
		},
		"wrong amount": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.LookupTransfers && q.Number == 5 {
				r.Transfers[2].Amount.Hi = 1
			}
		},
		"wrong time of a row": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.LookupTransfers && q.Number == 5 {
				r.Transfers[2].Timestamp.Value++
			}
		},
		"expiry before its transfer": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.GetChangeEvents {
				r.Changes[len(r.Changes)-1].Timestamp.Value = 3
			}
		},
		"reserved bytes": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.GetChangeEvents {
				r.Changes[0].Reserved[38] = 1
			}
		},
		"error": func(q *proto.Request, r *proto.Reply) {
			if q.Op == proto.QueryTransfers {
				*r = proto.Reply{Error: "too_much_data"}
			}
		},
		"wrong in a lane": func(q *proto.Request, r *proto.Reply) {
			if len(q.Transfers) == 1 {
				r.Results[0].Status = 1
			}
		},
	} {
		server := fakeserver.New(9_000_000, 3)
		server.Spoil = spoil
		if len(replay(t, steps, server)) == 0 {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// TestMutatedCorpus changes every field of every recorded reply, one at a time; each
// change must make the replay fail.
func TestMutatedCorpus(t *testing.T) {
	changes := 0
	for i, step := range record(t) {
		step.Exchanges(func(exchange *corpus.Exchange) {
			eachField(reflect.ValueOf(&exchange.Reply).Elem(), func(field reflect.Value, path string) {
				before := reflect.ValueOf(field.Interface())
				if !mutate(field) {
					return
				}
				changes++
				steps := record(t)
				replaceReply(steps[i], exchange)
				if len(replay(t, steps, fakeserver.New(1_000_000, 1))) == 0 {
					t.Errorf("step %d, request %d: a change of %s is not noticed", i, exchange.Request.Number, path)
				}
				field.Set(before)
			})
		})
	}
	if changes < 400 {
		t.Errorf("only %d changes were tried", changes)
	}
}

// mutate changes a number or a timestamp. Fresh timestamps are left alone: their
// names are arbitrary.
func mutate(field reflect.Value) bool {
	if at, ok := field.Addr().Interface().(*proto.Time); ok {
		if at.IsPlain() {
			at.Value++
		} else {
			at.Event++
		}
		return at.Request != proto.Fresh
	}
	field.SetUint(field.Uint() ^ 1)
	return true
}

func replaceReply(step *corpus.Step, by *corpus.Exchange) {
	step.Exchanges(func(exchange *corpus.Exchange) {
		if exchange.Request.Number == by.Request.Number {
			exchange.Reply = by.Reply
		}
	})
}

// eachField visits the numbers and timestamps in a value; of arrays only the first
// element.
func eachField(value reflect.Value, visit func(reflect.Value, string)) {
	var walk func(reflect.Value, string)
	walk = func(v reflect.Value, path string) {
		_, isTime := v.Interface().(proto.Time)
		switch {
		case isTime || v.CanUint():
			visit(v, path)
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), path)
			}
		case v.Kind() == reflect.Array:
			walk(v.Index(0), path)
		}
	}
	walk(value, "")
}

// TestPollWaits checks that a poll goes on until the reply is the recorded one.
func TestPollWaits(t *testing.T) {
	steps := record(t)
	server := fakeserver.New(1_000_000, 1)
	tries := 0
	server.Spoil = func(q *proto.Request, r *proto.Reply) {
		if q.Op == proto.LookupAccounts {
			if tries++; tries < 3 {
				r.Accounts = nil
			}
		}
	}
	if mismatches := replay(t, steps, server); len(mismatches) != 0 || tries != 3 {
		t.Errorf("%d mismatches after %d tries", len(mismatches), tries)
	}
}

type deadServer struct{}

func (deadServer) Send(*proto.Request) (proto.Reply, error) {
	return proto.Reply{}, errors.New("no server")
}

func TestNoServer(t *testing.T) {
	r := quick(deadServer{})
	if _, err := r.Replay(script()[0]); err == nil {
		t.Error("a replay without a server succeeds")
	}
	if err := r.Record(script()[0]); err == nil {
		t.Error("a recording without a server succeeds")
	}
}
