package move

import (
	"bufio"
	"strings"
	"testing"

	"ledger/accounting"
)

// readerOf is a reader of lines without a file.
func readerOf(text string) *rowReader[accounting.Transfer] {
	return &rowReader[accounting.Transfer]{name: "lines", columns: transferColumns(), buffer: bufio.NewReader(strings.NewReader(text))}
}

// Goal: the quick reading of a line takes only what package json takes, and reads the same.
func FuzzQuick(f *testing.F) {
	for _, line := range []string{
		`{"id":"1","debit_account_id":"2","credit_account_id":"3","amount":"4","ledger":"1","code":"1","flags":["linked","pending"],` +
			`"timestamp":"9"}`,
		`{"timestamp": 9, "id": 1,"debit_account_id":0,"credit_account_id":"0x3","amount":"-0","ledger":01,"code":1}`,
		`{"id":1,"id":2,"debit_account_id":2,"credit_account_id":3,"amount":"\u0034","ledger":1,"code":1,"timestamp":9}`,
		`{"id":"","debit_account_id":"2","credit_account_id":"3","amount":"4","ledger":"1","code":"1","flags":"pending","timestamp":"9"} x`,
		`{}`, `{"id":1,}`, `{"id":"1" "code":1}`, `{"id":1e3}`, `{"flags":["linked" "pending"]}`, "{\"id\":\"1\x01\"}",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var quick, slow accounting.Transfer
		r := readerOf("")
		isUsual, err := r.quick(memoryOf(&quick), []byte(line))
		if !isUsual {
			return
		}
		slowErr := readerOf("").object(memoryOf(&slow), []byte(line))
		if (err == nil) != (slowErr == nil) || err == nil && quick != slow {
			t.Errorf("%q: %+v (%v), and package json reads %+v (%v)", line, quick, err, slow, slowErr)
		}
	})
}
