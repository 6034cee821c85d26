package inspect

import (
	"fmt"
	"io"

	"ledger/stages/consensus"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Sessions is the sessions as of the newest checkpoint. Requests in the log behind it have changed
// them since.
type Sessions struct {
	CheckpointOp uint64    `json:"checkpoint_op"`
	SessionsMax  uint32    `json:"sessions_max"`
	Sessions     []Session `json:"sessions"`
	Damaged      []Damage  `json:"damaged"`
	Changed      bool      `json:"changed"`
}

// Session of a client.
type Session struct {
	Index         uint32 `json:"index"`
	Client        string `json:"client"`
	Session       uint64 `json:"session"` // the op of its register request
	ReplyBytes    uint32 `json:"reply_bytes"`
	ReplyChecksum string `json:"reply_checksum"`
	Op            uint64 `json:"op"`       // of the last reply
	Position      uint32 `json:"position"` // of the request in its op
	Request       uint32 `json:"request"`
	// Operation is that of the last reply, if it can be read.
	Operation string `json:"operation,omitempty"`
	Reason    string `json:"reason,omitempty"` // why the reply cannot be read
}

// Sessions reads the trailers of sessions and replies.
func (f *File) Sessions() (*Sessions, error) {
	var r *Sessions
	changed, err := f.settled(func(s *datafile.Copy) string {
		r = f.sessions(s)
		return complaint(r.Damaged)
	})
	if err != nil {
		return nil, err
	}
	r.Changed = changed
	return r, nil
}

func (f *File) sessions(s *datafile.Copy) *Sessions {
	c := f.read(s)
	r := &Sessions{CheckpointOp: s.Checkpoint.Op, SessionsMax: s.SessionsMax, Sessions: []Session{}, Damaged: f.trailerDamage(c)}
	if s.Checkpoint.Roots[storage.TrailerSessions].IsZero() || c.trailers[storage.TrailerSessions] == nil {
		return r
	}
	records, err := consensus.ReadSessions(c.trailers[storage.TrailerSessions])
	if err != nil {
		r.Damaged = append(r.Damaged, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[storage.TrailerSessions], Reason: err.Error()})
	}
	replies := c.trailers[storage.TrailerReplies]
	for _, record := range records {
		session := Session{Index: record.Index, Client: record.Client.String(), Session: record.Number, ReplyBytes: record.ReplyBytes,
			ReplyChecksum: hexOf(record.ReplyChecksum), Position: record.Position, Op: record.Op, Request: record.Request}
		switch {
		case replies == nil:
			session.Reason = "the replies cannot be read"
		case record.ReplyBytes < wire.HeaderBytes || uint64(record.ReplyBytes) > uint64(len(replies)):
			session.Reason = "the replies end before it"
			replies = replies[len(replies):]
		default:
			reply := wire.HeaderOf(replies[:record.ReplyBytes])
			replies = replies[record.ReplyBytes:]
			if reply.Checksum() != record.ReplyChecksum || reply.Checksum() != reply.ComputeChecksum() {
				session.Reason = "the reply's checksum does not match"
				break
			}
			if reply.ReplyOp() != record.Op || reply.ReplyRequestNumber() != record.Request ||
				reply.ReplyRequestChecksum() != record.RequestChecksum {
				session.Reason = "the reply is not the record's"
			}
			session.Operation = reply.ReplyOperation().String()
		}
		if session.Reason != "" && replies != nil {
			r.Damaged = append(r.Damaged, Damage{Kind: DamageCheckpoint, Tree: storage.TrailerNames[storage.TrailerReplies],
				Reason: fmt.Sprintf("session %d: %s", record.Index, session.Reason)})
		}
		r.Sessions = append(r.Sessions, session)
	}
	return r
}

// Text implements Report.
func (r *Sessions) Text(out io.Writer) {
	fmt.Fprintf(out, "checkpoint op %d: %d of %d sessions\n", r.CheckpointOp, len(r.Sessions), r.SessionsMax)
	table(out, func(row func(cells ...any)) {
		row("index", "client", "session", "request", "op", "position", "operation", "reply bytes", "")
		for i := range r.Sessions {
			s := &r.Sessions[i]
			row(s.Index, s.Client, s.Session, s.Request, s.Op, s.Position, s.Operation, s.ReplyBytes, s.Reason)
		}
	})
	textDamage(out, r.Damaged)
	textChanged(out, r.Changed)
}
