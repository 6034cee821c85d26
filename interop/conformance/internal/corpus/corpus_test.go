package corpus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"ledger/interop/conformance/internal/proto"
)

// sample has a step of every kind and a request of every operation.
func sample() []*Step {
	filter := &proto.AccountFilter{AccountID: proto.N(1), Limit: 10, Flags: proto.FilterDebits}
	query := &proto.QueryFilter{Ledger: 1, TimestampMin: proto.At(1, 0).Plus(1), Limit: 10}
	call := func(request proto.Request, reply proto.Reply) *Step {
		return &Step{Exchange: Exchange{Request: request, Reply: reply}}
	}
	account := proto.Account{ID: proto.N(1), Ledger: 1, Code: 1, Timestamp: proto.At(1, 0)}
	transfer := proto.Transfer{ID: proto.MaxU128.Sub(proto.N(5)), Amount: proto.N(3), Timestamp: proto.At(2, 0)}
	return []*Step{
		call(proto.Request{Number: 1, Op: proto.CreateAccounts, Accounts: []proto.Account{{ID: proto.N(1)}, {}, {}}},
			proto.Reply{Results: []proto.Result{{Status: proto.Created, Timestamp: proto.At(1, 0)},
				{Status: 6, Timestamp: proto.At(1, 1)}, {Status: 6, Timestamp: proto.At(1, 2)}}}),
		call(proto.Request{Number: 2, Op: proto.CreateTransfers, Transfers: []proto.Transfer{{ID: proto.N(9)}}},
			proto.Reply{Results: []proto.Result{{Status: 46, Timestamp: proto.At(1, 0), Reserved: 3}}}),
		{Kind: Sleep, Milliseconds: 20},
		{Kind: Poll, Exchange: Exchange{Request: proto.Request{Number: 3, Op: proto.LookupAccounts, IDs: []proto.U128{proto.N(1)}},
			Reply: proto.Reply{Accounts: []proto.Account{account}}}},
		call(proto.Request{Number: 4, Op: proto.LookupTransfers, IDs: []proto.U128{proto.N(1)}},
			proto.Reply{Transfers: []proto.Transfer{transfer}}),
		call(proto.Request{Number: 5, Op: proto.CreateTransfers}, proto.Reply{}),
		{Kind: Parallel, Lanes: [][]Exchange{
			{
				{Request: proto.Request{Number: 6, Op: proto.GetAccountTransfers, AccountFilter: filter},
					Reply: proto.Reply{Transfers: []proto.Transfer{transfer, transfer}}},
				{Request: proto.Request{Number: 7, Op: proto.GetAccountBalances, AccountFilter: filter},
					Reply: proto.Reply{Balances: []proto.Balance{{DebitsPosted: proto.N(4)}}}},
			},
			{
				{Request: proto.Request{Number: 8, Op: proto.QueryAccounts, QueryFilter: query}, Reply: proto.Reply{Error: "too_much_data"}},
			},
		}},
		call(proto.Request{Number: 9, Op: proto.GetChangeEvents, ChangesFilter: &proto.ChangesFilter{Limit: 5}},
			proto.Reply{Changes: []proto.Change{{Type: 4, Timestamp: proto.Time{Request: proto.Fresh, Event: 1}}}}),
	}
}

func write(t *testing.T, steps []*Step) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Profile: "test", Seed: 7, Client: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if err := w.Write(step); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(raw []byte) (steps []*Step, header Header, err error) {
	r, err := NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, header, err
	}
	for {
		step, err := r.Read()
		if errors.Is(err, io.EOF) {
			return steps, r.Header, nil
		} else if err != nil {
			return steps, r.Header, err
		}
		steps = append(steps, step)
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	got, header, err := readAll(write(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if header != (Header{Profile: "test", Seed: 7, Client: "x"}) {
		t.Errorf("the header is %+v", header)
	}
	if len(got) != len(want) {
		t.Fatalf("%d steps are read back as %d", len(want), len(got))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("step %d:\n%+v\nis read back as\n%+v", i, want[i], got[i])
		}
	}
}

func TestDamagedCorpora(t *testing.T) {
	text := "conformance-corpus 1\nprofile=p seed=1 client=c\n"
	for name, lines := range map[string]string{
		"no end":            "sleep 5\n",
		"wrong count":       "sleep 5\nend 2\n",
		"unknown step":      "wait 5\nend 1\n",
		"unknown operation": "call 1 destroy_accounts\n> id=1\nend 1\n",
		"unknown field":     "call 1 create_accounts\n> idd=1\nend 1\n",
		"unknown status":    "call 1 create_accounts\n> id=1\n< 1 perhaps\nend 1\n",
		"bad count":         "call 1 create_accounts\n> id=1\n< 0 created\nend 1\n",
		"open parallel":     "parallel\nlane\n",
	} {
		var raw bytes.Buffer
		zip := gzip.NewWriter(&raw)
		io.Copy(zip, strings.NewReader(text+lines))
		zip.Close()
		if _, _, err := readAll(raw.Bytes()); err == nil {
			t.Errorf("%s: a damaged corpus is accepted", name)
		}
	}
	whole := write(t, sample())
	if _, _, err := readAll(whole[:len(whole)-30]); err == nil {
		t.Error("a truncated file is accepted")
	}
}
