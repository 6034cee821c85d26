package peer

import (
	"encoding/hex"
	"fmt"
)

// Fault says what is wrong with a message: which field, its value, and the rule that it breaks. The
// zero Fault stands for none. Making one does not allocate; its text is for cold paths.
type Fault struct {
	Command Command // as it was received; CommandNone where no message is concerned
	Field   string  // a name of the tables in docs/design/peer.md
	Value   uint64  // the value; of a longer field its first 8 bytes, as a number
	Rule    string  // what must hold
	Limit   uint64  // the other side of the rule, if it has one
	long    bool    // Value is the beginning of a longer field
}

// Faulty tells whether there is a fault.
func (f *Fault) Faulty() bool { return f.Field != "" }

// Error makes a Fault usable as an error. Callers must ask Faulty first.
func (f *Fault) Error() string {
	value := fmt.Sprint(f.Value)
	if f.long {
		var first [8]byte
		for i := range first {
			first[i] = byte(f.Value >> (8 * i))
		}
		value = hex.EncodeToString(first[:]) + "..."
	}
	limit := ""
	if f.Limit != 0 {
		limit = fmt.Sprintf(" (%d)", f.Limit)
	}
	return fmt.Sprintf("%s: %s is %s: %s%s", f.Command, f.Field, value, f.Rule, limit)
}

// fault makes a Fault of a number.
func fault(command Command, field string, value uint64, rule string, limit uint64) Fault {
	return Fault{Command: command, Field: field, Value: value, Rule: rule, Limit: limit}
}

// faultLong makes a Fault of a field of 8 bytes or more.
func faultLong(command Command, field string, value []byte, rule string) Fault {
	return Fault{Command: command, Field: field, Value: little64(value), Rule: rule, long: true}
}
