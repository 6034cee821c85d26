package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ledger/prepare"
	"ledger/storage/datafile"
)

// Superblock is the four copies, side by side.
type Superblock struct {
	// Chosen is the index of a copy with the superblock in force, -1 if there is none: then Reason
	// says why.
	Chosen int              `json:"chosen"`
	Reason string           `json:"reason,omitempty"`
	Copies []SuperblockCopy `json:"copies"`
	// Differences are the fields in which whole copies differ.
	Differences []string `json:"differences"`
}

// SuperblockCopy is a copy. Of a damaged one nothing is known.
type SuperblockCopy struct {
	Copy   int    `json:"copy"`
	Offset uint64 `json:"offset"`
	Damage string `json:"damage,omitempty"`
	Fields Fields `json:"fields,omitempty"`
}

// Field of a superblock or a checkpoint.
type Field struct {
	Name  string
	Value any
}

// Fields are an object in JSON, and keep their order.
type Fields []Field

// MarshalJSON implements json.Marshaler.
func (f Fields) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, field := range f {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(field.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

func isDamage(err error) bool {
	var damage *datafile.DamageError
	return errors.As(err, &damage)
}

// Superblock reads the copies. There is a report if any of them was a superblock of this version.
func (f *File) Superblock() (*Superblock, error) {
	copies, chosen, err := f.superblocks()
	r := &Superblock{Chosen: chosen, Differences: []string{}}
	if err != nil {
		if !isDamage(err) {
			return nil, err
		}
		r.Chosen, r.Reason = -1, err.Error()
	}
	var longest Fields // copies may have different numbers of headers, which are their last fields
	for i := range copies {
		c := SuperblockCopy{Copy: i, Offset: f.layout.SuperblockCopyAt(uint32(i)), Damage: copies[i].Damage}
		if c.Damage == "" {
			c.Fields = superblockFields(&copies[i])
			if len(c.Fields) > len(longest) {
				longest = c.Fields
			}
		}
		r.Copies = append(r.Copies, c)
	}
	for i := range longest {
		for _, c := range r.Copies {
			if c.Fields != nil && c.Fields.at(i) != longest[i].Value {
				r.Differences = append(r.Differences, longest[i].Name)
				break
			}
		}
	}
	return r, nil
}

func superblockFields(c *datafile.Copy) Fields {
	uncertain := 0
	for i := range uint64(len(c.Uncertain)) * 8 {
		uncertain += int(c.Uncertain[i/8] >> (i % 8) & 1)
	}
	fields := Fields{
		{"checksum", hexOf(c.Checksum)},
		{"parent", hexOf(c.Parent)},
		{"sequence", c.Sequence},
		{"format_version", c.Version},
		{"release", c.Release},
		{"cluster", c.Cluster.String()},
		{"replica", c.Replica},
		{"replica_count", c.ReplicasCount},
		{"incarnation", c.Incarnation},
		{"sessions_max", c.SessionsMax},
		{"request_bytes_max", c.RequestBytesMax},
		{"view", c.View},
		{"log_view", c.LogView},
		{"commit_max", c.CommitMax},
		{"sync_op_min", c.SyncOpMin},
		{"sync_op_max", c.SyncOpMax},
		{"headers", c.HeadersCount},
		{"uncertain_ops", uncertain},
	}
	for _, field := range checkpointFields(&c.Checkpoint) {
		fields = append(fields, Field{"checkpoint_" + field.Name, field.Value})
	}
	for i := range c.HeadersCount {
		h := prepare.Header(c.Headers[i][:])
		fields = append(fields, Field{fmt.Sprintf("header_%d", i), fmt.Sprintf("op %d, view %d, %s", h.Op(), h.View(), hexOf(h.Checksum()))})
	}
	return fields
}

// Text implements Report.
func (r *Superblock) Text(out io.Writer) {
	differs := map[string]bool{}
	for _, name := range r.Differences {
		differs[name] = true
	}
	var whole []SuperblockCopy
	var longest Fields
	table(out, func(row func(cells ...any)) {
		head := []any{"", ""}
		for _, c := range r.Copies {
			if c.Fields != nil {
				whole = append(whole, c)
				if len(c.Fields) > len(longest) {
					longest = c.Fields
				}
				head = append(head, fmt.Sprintf("copy %d", c.Copy))
			}
		}
		row(head...)
		for i, field := range longest {
			cells := []any{field.Name, ""}
			if differs[field.Name] {
				cells[1] = "differs"
			}
			for _, c := range whole {
				cells = append(cells, c.Fields.at(i))
			}
			row(cells...)
		}
	})
	for _, c := range r.Copies {
		if c.Damage != "" {
			fmt.Fprintf(out, "copy %d, offset %d: damaged: %s\n", c.Copy, c.Offset, c.Damage)
		}
	}
	switch {
	case r.Chosen < 0:
		fmt.Fprintln(out, r.Reason)
	case len(r.Differences) > 0:
		fmt.Fprintf(out, "the copies differ; copy %d is in force\n", r.Chosen)
	case len(whole) == len(r.Copies):
		fmt.Fprintln(out, "all copies are equal")
	}
}

func (f Fields) at(i int) any {
	if i < len(f) {
		return f[i].Value
	}
	return ""
}
