package coverage

import (
	"strings"
	"testing"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

func TestReport(t *testing.T) {
	report := New()
	report.Add(&corpus.Step{Exchange: corpus.Exchange{
		Request: proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{{Flags: proto.TransferPending | 1<<12}, {}}},
		Reply:   proto.Reply{Results: []proto.Result{{Status: 4}, {Status: proto.Created}}},
	}})
	if requests, events := report.Total(); requests != 1 || events != 2 {
		t.Errorf("%d requests, %d events", requests, events)
	}
	if report.Hit(proto.CreateTransfers) != 2 || report.Results[proto.CreateTransfers]["reserved_flag"] != 1 {
		t.Errorf("the results are %v", report.Results)
	}
	if sent := report.Flags["transfer sent"]; sent["pending"] != 1 || sent["(unknown bits)"] != 1 {
		t.Errorf("the flags are %v", sent)
	}
	missing := strings.Join(report.Missing(), "\n")
	if !strings.Contains(missing, "create_accounts exists\n") || strings.Contains(missing, "reserved_flag\ncreate_transfers") ||
		strings.Contains(missing, "overflows_timeout") {
		t.Errorf("missing are: %s", missing)
	}
	var out strings.Builder
	report.Print(&out)
	if !strings.Contains(out.String(), "create_transfers: 2 of 68 statuses") {
		t.Errorf("the report is: %s", &out)
	}
}
