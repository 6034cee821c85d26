package amqp

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"ledger/accounting"
	"ledger/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

// written is a message as text: its properties, headers with their types, and body.
func written(m *amqp091.Publishing) string {
	var out strings.Builder
	fmt.Fprintf(&out, "app_id %s\ncontent_type %s\ndelivery_mode %d\ntimestamp %d\n", m.AppId, m.ContentType, m.DeliveryMode,
		m.Timestamp.Unix())
	fmt.Fprintf(&out, "%sbody %s\n", fields(m.Headers), m.Body)
	return out.String()
}

// fields are those of a table, with their types.
func fields(table amqp091.Table) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(&out, "field %s %T %[2]v\n", name, table[name])
	}
	return out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v): got\n%s\nwant\n%s", path, err, got, want)
	}
}

// Goal: consumers of the reference's messages see the same names, types and values. One message is
// used for all events, and nothing of the one before is left in it.
func TestEventMessage(t *testing.T) {
	u128 := wire.U128From
	events := []accounting.ChangeEvent{
		{Timestamp: 1795962526585356261, Type: accounting.EventTwoPhasePending, Ledger: 1<<32 - 1, TransferID: wire.U128Max(),
			TransferAmount: u128(1 << 53), TransferCode: 1<<16 - 1, TransferFlags: accounting.TransferPending, TransferTimeout: 60,
			TransferTimestamp: 1795962526585356261, DebitAccountID: u128(1), DebitAccountCode: 1<<16 - 2, CreditAccountID: u128(2),
			CreditAccountCode: 1<<16 - 3},
		{Timestamp: 1, Type: accounting.EventSinglePhase, Ledger: 1, TransferID: u128(1), TransferAmount: u128(3), TransferCode: 4,
			TransferTimestamp: 1, DebitAccountID: u128(1), DebitAccountCode: 5, CreditAccountID: u128(2), CreditAccountCode: 6},
	}
	var got strings.Builder
	var m amqp091.Publishing
	for i := range events {
		setEvent(&m, &events[i])
		got.WriteString(written(&m) + "\n")
	}
	golden(t, "events.txt", got.String())
	progress := progressMessage(1795962526585356261, time.Unix(1795962527, 0))
	golden(t, "progress.txt", written(&progress))
	allocs := testing.AllocsPerRun(100, func() { setEvent(&m, &events[0]) })
	if allocs > 8 { // the values of the headers
		t.Errorf("a message allocates %.0f times", allocs)
	}
}

// Goal: the queues have the names and arguments of the reference, or a broker that has them refuses
// the job.
func TestQueues(t *testing.T) {
	o := Options{Cluster: wire.U128Max()}
	golden(t, "queues.txt", o.lockerQueue()+"\n"+fields(lockerArguments())+o.progressQueue()+"\n"+fields(progressArguments("")))
	if name := o.progressQueue(); len(name) > 255 {
		t.Errorf("%s has %d bytes", name, len(name))
	}
}

// Goal: progress comes back from its message, and nothing else is taken for it.
func TestProgressOf(t *testing.T) {
	for _, timestamp := range []uint64{1, 1795962526585356261, accounting.TimestampMax} {
		headers := progressMessage(timestamp, time.Now()).Headers
		headers["x-death"] = "of a plugin"
		if got, err := progressOf(headers); got != timestamp || err != nil {
			t.Errorf("%d: %d, error %v", timestamp, got, err)
		}
	}
	for want, headers := range map[string]amqp091.Table{
		`has no header "timestamp"`:                                     {"release": "0.17.9"},
		"has the header timestamp=0 (int64), which is no timestamp":     {"timestamp": int64(0)},
		"has the header timestamp=-1 (int64), which is no timestamp":    {"timestamp": int64(-1)},
		"has the header timestamp=1 (string), which is no timestamp":    {"timestamp": "1"},
		"has the header timestamp=<nil> (<nil>), which is no timestamp": {"timestamp": nil},
	} {
		if got, err := progressOf(headers); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %d, error %v, want %s", headers, got, err, want)
		}
	}
}
