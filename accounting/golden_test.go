package accounting_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"ledger/accounting"
	"ledger/wire"
)

type goldenFile struct {
	Cases []struct {
		Name  string
		Note  string
		Steps []goldenStep
	}
}

type goldenStep struct {
	Op      string
	T       string
	Ns      string
	Expired int
	Batches []struct {
		In, Out []any
	}
}

// goldenOperations by the names of the file.
var goldenOperations = map[string]wire.Operation{
	"create_accounts":       wire.OperationCreateAccounts,
	"create_transfers":      wire.OperationCreateTransfers,
	"lookup_accounts":       wire.OperationLookupAccounts,
	"lookup_transfers":      wire.OperationLookupTransfers,
	"get_account_transfers": wire.OperationGetAccountTransfers,
	"get_account_balances":  wire.OperationGetAccountBalances,
	"query_accounts":        wire.OperationQueryAccounts,
	"query_transfers":       wire.OperationQueryTransfers,
	"get_change_events":     wire.OperationGetChangeEvents,
}

// Goal: every reply observed from the reference, field for field. All cases run in file order on
// one machine that starts empty, because imports look at the newest timestamps of the whole state.
func TestGoldenCases(t *testing.T) {
	file := readGolden(t)
	if len(file.Cases) != 199 {
		t.Fatalf("%d cases, want 199", len(file.Cases))
	}
	b := newBench(t)
	symbols := map[string]uint64{}
	stepsCount := 0
	for _, c := range file.Cases {
		ok := t.Run(c.Name, func(t *testing.T) {
			b.t = t
			for i := range c.Steps {
				stepsCount++
				goldenRun(t, b, symbols, i, &c.Steps[i])
			}
		})
		if !ok {
			t.Fatalf("later cases depend on %s (%s)", c.Name, c.Note)
		}
	}
	if stepsCount != 1057 {
		t.Fatalf("%d steps, want 1057", stepsCount)
	}
}

func readGolden(t testing.TB) *goldenFile {
	compressed, err := os.ReadFile("testdata/accounting_cases.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(reader)
	decoder.UseNumber()
	var file goldenFile
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return &file
}

func goldenRun(t *testing.T, b *bench, symbols map[string]uint64, index int, step *goldenStep) {
	switch step.Op {
	case "advance":
		ns, err := strconv.ParseUint(step.Ns, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		b.clock += ns
		return
	case "pulse":
		b.clock += 8191
		symbols[step.T] = b.clock
		if b.machine.NextPulse() > b.clock {
			t.Fatalf("step %d: next pulse is %d after the pulse at %d", index, b.machine.NextPulse(), b.clock)
		}
		if expired := b.machine.Pulse(b.clock, b.limit); expired != step.Expired {
			t.Fatalf("step %d: pulse expired %d, want %d", index, expired, step.Expired)
		}
		return
	}
	operation, known := goldenOperations[step.Op]
	if !known {
		t.Fatalf("step %d: unknown operation %q", index, step.Op)
	}
	// The step's own timestamp is known before its events are built: they may name it.
	delta := uint64(0)
	if operation.Class() == wire.ClassCreate {
		for _, batch := range step.Batches {
			delta += uint64(len(batch.In))
		}
	}
	b.clock += 1_000_000 + delta
	symbols[step.T] = b.clock

	var batches [][]byte
	for _, batch := range step.Batches {
		var events []byte
		for _, in := range batch.In {
			events = append(events, goldenEvent(t, symbols, operation, in)...)
		}
		batches = append(batches, events)
	}
	results := b.runBody(operation, encode(t, b.body, operation, batches...))
	if len(results) != len(step.Batches) {
		t.Fatalf("step %d: %d batches in the reply, want %d", index, len(results), len(step.Batches))
	}
	for i, batch := range step.Batches {
		got := goldenResults(operation, results[i])
		if len(got) != len(batch.Out) {
			t.Fatalf("step %d batch %d: %d results, want %d\ngot  %v\nwant %v", index, i, len(got), len(batch.Out), got, batch.Out)
		}
		for k := range got {
			want := goldenWant(t, symbols, batch.Out[k].(map[string]any))
			if !maps.Equal(got[k], want) {
				t.Fatalf("step %d batch %d result %d of %s\nin   %v\ngot  %v\nwant %v", index, i, k, step.Op, batch.In, got[k], want)
			}
		}
	}
}

// goldenEvent builds one event from its JSON.
func goldenEvent(t *testing.T, symbols map[string]uint64, operation wire.Operation, in any) []byte {
	if text, isID := in.(string); isID {
		return bytesOf([]U128{parse128(t, text)})
	}
	fields := in.(map[string]any)
	switch operation {
	case wire.OperationCreateAccounts:
		return goldenRecord[Account](t, symbols, fields)
	case wire.OperationCreateTransfers:
		return goldenRecord[Transfer](t, symbols, fields)
	case wire.OperationGetAccountTransfers, wire.OperationGetAccountBalances:
		return goldenRecord[accounting.AccountFilter](t, symbols, fields)
	case wire.OperationGetChangeEvents:
		return goldenRecord[accounting.ChangeEventsFilter](t, symbols, fields)
	}
	return goldenRecord[accounting.QueryFilter](t, symbols, fields)
}

func goldenRecord[T any](t *testing.T, symbols map[string]uint64, fields map[string]any) []byte {
	record := make([]T, 1)
	value := reflect.ValueOf(&record[0]).Elem()
	left := maps.Clone(fields)
	for i := range value.NumField() {
		name := snake(value.Type().Field(i).Name)
		if at, ok := fields["reserved_nonzero_byte"]; ok && name == "reserved" {
			value.Field(i).Index(int(goldenNumber(t, symbols, "", at).Lo)).SetUint(1)
			delete(left, "reserved_nonzero_byte")
			continue
		}
		given, ok := fields[name]
		if !ok {
			continue
		}
		delete(left, name)
		number := goldenNumber(t, symbols, name, given)
		if field := value.Field(i); field.Kind() == reflect.Struct {
			field.Set(reflect.ValueOf(number))
		} else {
			field.SetUint(number.Lo)
		}
	}
	if len(left) > 0 {
		t.Fatalf("fields %v are not of %T", left, record[0])
	}
	return bytesOf(record)
}

// goldenNumber reads a number, or a symbol such as T12-3 where the field is a timestamp.
func goldenNumber(t *testing.T, symbols map[string]uint64, name string, given any) U128 {
	text := fmt.Sprint(given)
	if !strings.HasPrefix(text, "T") || !strings.Contains(name, "timestamp") {
		return parse128(t, text)
	}
	symbol, sign, distance := text, "", "0"
	if at := strings.IndexAny(text, "+-"); at > 0 {
		symbol, sign, distance = text[:at], text[at:at+1], text[at+1:]
	}
	base, known := symbols[symbol]
	if !known {
		t.Fatalf("symbol %s is not known yet", symbol)
	}
	offset := parse128(t, distance).Lo
	if sign == "-" {
		return U128{Lo: base - offset}
	}
	return U128{Lo: base + offset}
}

func parse128(t *testing.T, text string) U128 {
	number, err := wire.ParseU128(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return number
}

// goldenWant gives the expected fields that are not zero, with symbols resolved.
func goldenWant(t *testing.T, symbols map[string]uint64, out map[string]any) map[string]string {
	want := map[string]string{}
	for name, given := range out {
		if name == "status" || name == "type" {
			want[name] = given.(string)
		} else if number := goldenNumber(t, symbols, name, given); !number.IsZero() {
			want[name] = number.String()
		}
	}
	return want
}

func goldenResults(operation wire.Operation, results []byte) []map[string]string {
	switch operation {
	case wire.OperationCreateAccounts, wire.OperationCreateTransfers:
		got := fieldsOf(recordsOf[Result](results))
		for i, result := range recordsOf[Result](results) {
			got[i]["status"] = accounting.TransferStatus(result.Status).String()
			if operation == wire.OperationCreateAccounts {
				got[i]["status"] = accounting.AccountStatus(result.Status).String()
			}
		}
		return got
	case wire.OperationLookupAccounts, wire.OperationQueryAccounts:
		return fieldsOf(recordsOf[Account](results))
	case wire.OperationGetAccountBalances:
		return fieldsOf(recordsOf[accounting.AccountBalance](results))
	case wire.OperationGetChangeEvents:
		got := fieldsOf(recordsOf[accounting.ChangeEvent](results))
		for i, event := range recordsOf[accounting.ChangeEvent](results) {
			got[i]["type"] = event.Type.String()
		}
		return got
	}
	return fieldsOf(recordsOf[Transfer](results))
}

// fieldsOf gives the fields of each record that are not zero, by their names in the specification.
func fieldsOf[T any](records []T) []map[string]string {
	var all []map[string]string
	for _, record := range records {
		fields := map[string]string{}
		value := reflect.ValueOf(record)
		for i := range value.NumField() {
			if field := value.Field(i); !field.IsZero() {
				text := fmt.Sprint(field.Interface())
				if field.CanUint() {
					text = strconv.FormatUint(field.Uint(), 10)
				}
				fields[snake(value.Type().Field(i).Name)] = text
			}
		}
		all = append(all, fields)
	}
	return all
}

// snake turns UserData128 into user_data_128 and DebitAccountID into debit_account_id.
func snake(name string) string {
	var out strings.Builder
	previous := rune(0)
	for _, r := range name {
		starts := unicode.IsUpper(r) && !unicode.IsUpper(previous) || unicode.IsDigit(r) && !unicode.IsDigit(previous)
		if starts && previous != 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
		previous = r
	}
	return out.String()
}
