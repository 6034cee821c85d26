package move

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"ledger/accounting"
	"ledger/records"
	"ledger/wire"
)

// accountRow is an account in a file. An account that a transfer has closed is imported open, and
// the transfer closes it again. An account that was created closed has no transfers.
type accountRow struct {
	accounting.Account
	ClosedByTransfer uint16 // 1: yes
	_                [6]byte
}

// expiryRow says that a pending transfer has expired.
type expiryRow struct {
	PendingID wire.U128
	Timestamp uint64 // of the expiry
}

// column is one field of a row, at its place in memory. Fields are little-endian, as on the wire.
type column struct {
	name       string
	offset     uintptr
	bytes      uintptr // 2, 4, 8 or 16
	flags      []string
	isRequired bool // a file without it cannot be imported
}

// columnsOf lists the fields of a record, without the reserved ones.
func columnsOf(record reflect.Type, required ...string) []column {
	var list []column
	fields := records.Fields(record)
	for i := range record.NumField() {
		one := record.Field(i)
		if one.Name == "Reserved" {
			continue
		}
		field := &fields[len(list)]
		list = append(list, column{field.Name, one.Offset, one.Type.Size(), field.Flags, slices.Contains(required, field.Name)})
	}
	return list
}

func accountColumns() []column {
	return append(columnsOf(reflect.TypeFor[accounting.Account](), "id", "ledger", "code", "timestamp"),
		column{name: "closed_by_transfer", offset: unsafe.Offsetof(accountRow{}.ClosedByTransfer), bytes: 2})
}

func transferColumns() []column {
	return columnsOf(reflect.TypeFor[accounting.Transfer](), "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code",
		"timestamp")
}

func expiryColumns() []column {
	return columnsOf(reflect.TypeFor[expiryRow](), "pending_id", "timestamp")
}

// balanceColumns are those of an account that say what it is to have in the end.
func balanceColumns() []string {
	return []string{"debits_pending", "debits_posted", "credits_pending", "credits_posted"}
}

// memoryOf shows a row as its bytes.
func memoryOf[R any](row *R) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(row)), unsafe.Sizeof(*row))
}

func (c *column) value(memory []byte) wire.U128 {
	at := memory[c.offset : c.offset+c.bytes]
	switch c.bytes {
	case 2:
		return wire.U128From(uint64(binary.LittleEndian.Uint16(at)))
	case 4:
		return wire.U128From(uint64(binary.LittleEndian.Uint32(at)))
	case 8:
		return wire.U128From(binary.LittleEndian.Uint64(at))
	}
	return wire.U128FromBytes(at)
}

func (c *column) put(memory []byte, value wire.U128) {
	at := memory[c.offset : c.offset+c.bytes]
	switch c.bytes {
	case 2:
		binary.LittleEndian.PutUint16(at, uint16(value.Lo))
	case 4:
		binary.LittleEndian.PutUint32(at, uint32(value.Lo))
	case 8:
		binary.LittleEndian.PutUint64(at, value.Lo)
	default:
		value.PutBytes(at)
	}
}

// parse reads a value. An empty text is 0. Flags are names joined by "|", or their number.
func (c *column) parse(text string) (wire.U128, error) {
	if text == "" {
		return wire.U128{}, nil
	}
	if c.flags != nil && (text[0] < '0' || text[0] > '9') {
		value := uint64(0)
		for name := range strings.SplitSeq(text, "|") {
			bit := slices.Index(c.flags, strings.TrimSpace(name))
			if bit < 0 {
				return wire.U128{}, fmt.Errorf("%q is no flag; the flags are %s", name, strings.Join(c.flags, ", "))
			}
			value |= 1 << bit
		}
		return wire.U128From(value), nil
	}
	const digitsFast = 19 // as many fit into 64 bits
	if len(text) <= digitsFast {
		if value, err := strconv.ParseUint(text, 10, int(min(8*c.bytes, 64))); err == nil {
			return wire.U128From(value), nil
		}
	}
	if c.bytes == wire.U128Bytes {
		if value, err := wire.ParseU128(text); err == nil {
			return value, nil
		}
	}
	value, err := records.ParseNumber(text, uint(8*c.bytes))
	if err != nil {
		return value, fmt.Errorf("%q: %w", text, err)
	}
	return value, nil
}

func appendU128(out []byte, value wire.U128) []byte {
	if value.Hi == 0 {
		return strconv.AppendUint(out, value.Lo, 10)
	}
	return append(out, value.String()...)
}

// eachFlag calls visit with the names of the bits of value.
func (c *column) eachFlag(value uint64, visit func(i int, name string)) {
	for bit, i := 0, 0; value != 0; bit, value = bit+1, value>>1 {
		if value&1 == 0 {
			continue
		}
		name := strconv.Itoa(bit)
		if bit < len(c.flags) {
			name = c.flags[bit]
		}
		visit(i, name)
		i++
	}
}

func appendCSV(out []byte, columns []column, memory []byte) []byte {
	for i := range columns {
		c := &columns[i]
		if i > 0 {
			out = append(out, ',')
		}
		value := c.value(memory)
		if c.flags == nil {
			out = appendU128(out, value)
			continue
		}
		c.eachFlag(value.Lo, func(i int, name string) {
			if i > 0 {
				out = append(out, '|')
			}
			out = append(out, name...)
		})
	}
	return append(out, '\n')
}

// appendJSON has the form of the shell's results: numbers are strings, flags are lists of names.
func appendJSON(out []byte, columns []column, memory []byte) []byte {
	for i := range columns {
		c := &columns[i]
		out = append(append(append(out, "{,"[min(i, 1)], '"'), c.name...), `":`...)
		value := c.value(memory)
		if c.flags == nil {
			out = append(appendU128(append(out, '"'), value), '"')
			continue
		}
		out = append(out, '[')
		c.eachFlag(value.Lo, func(i int, name string) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, '"'), name...), '"')
		})
		out = append(out, ']')
	}
	return append(out, "}\n"...)
}

// header of a file of CSV.
func header(columns []column) string { return strings.Join(namesOf(columns), ",") + "\n" }

func namesOf(columns []column) (names []string) {
	for i := range columns {
		names = append(names, columns[i].name)
	}
	return names
}
