package workload

import (
	"bytes"
	"strings"
	"testing"

	"ledger/sim/model"
)

// TestJudgeDetects: what a wrong server would do to its clients is found, each by its own check.
func TestJudgeDetects(t *testing.T) {
	type world struct {
		judge     *Judge
		exchanges []*Exchange
		committed []model.Committed
	}
	// Two clients: each registers, then asks for the same noop; all in turn.
	build := func() *world {
		w := &world{judge: NewJudge(model.Config{SessionsMax: 4, MessageBytesMax: 1 << 20, RequestBytesMax: 1 << 20})}
		twin := model.NewServer(model.Config{SessionsMax: 4, MessageBytesMax: 1 << 20, RequestBytesMax: 1 << 20})
		parents := map[uint64]model.Checksum{}
		for i, step := range []struct{ client, number uint64 }{{1, 0}, {2, 0}, {1, 1}, {2, 1}} {
			header := model.Header{Release: 9, Command: model.CommandRequest, Client: model.Num(step.client), Operation: model.Register}
			body := make([]byte, 256)
			if step.number > 0 {
				header.Operation, header.Session, header.Request, body = model.Noop, step.client+1, 1, []byte{}
				header.Parent = parents[step.client]
			}
			request := header.Frame(body)
			c := model.FromRequest(request)
			c.Op, c.Timestamp = uint64(i+2), uint64(100*i+100)
			reply, err := twin.Commit(&c)
			if err != nil {
				t.Fatal(err)
			}
			h, _, _ := model.ParseFrame(reply)
			parents[step.client] = h.Context
			w.committed = append(w.committed, c)
			w.exchanges = append(w.exchanges, &Exchange{Client: header.Client, Number: header.Request,
				What:    Request{Operation: header.Operation, Body: body},
				Request: request, Reply: reply, FirstNs: uint64(10 * i), LastNs: uint64(10*i + 5)})
		}
		return w
	}
	for _, c := range []struct {
		name  string
		spoil func(w *world)
		why   string
	}{
		{"nothing is wrong", func(*world) {}, ""},
		{"a reply in a later view", func(w *world) { w.exchanges[2].Reply[104] = 7; model.Seal(w.exchanges[2].Reply) }, ""},
		{"a reply that never came", func(w *world) { w.exchanges[3].Reply = nil }, ""},
		{"another timestamp", func(w *world) { w.exchanges[2].Reply[224] ^= 1; model.Seal(w.exchanges[2].Reply) }, "reply bytes"},
		{"an acknowledged request is lost", func(w *world) { w.committed = w.committed[:3] }, "not in the log"},
		{"a request that nobody sent", func(w *world) { w.exchanges = w.exchanges[:3] }, "no client sent it"},
		{"another body than was sent", func(w *world) { w.committed[1].Body = bytes.Repeat([]byte{1}, 256) }, "another body in the log"},
		{"executed twice", func(w *world) {
			again := w.committed[3]
			again.Op, again.Timestamp = 9, 900
			w.committed = append(w.committed, again)
		}, "twice executed"},
		{"a timestamp that falls", func(w *world) { w.committed[3].Timestamp = 1 }, "timestamp 1 after"},
		{"a later request overtakes", func(w *world) {
			w.committed[2], w.committed[3] = w.committed[3], w.committed[2]
			w.committed[2].Op, w.committed[3].Op = 4, 5
			w.committed[2].Timestamp, w.committed[3].Timestamp = 300, 400
			twin := model.NewServer(model.Config{SessionsMax: 4, MessageBytesMax: 1 << 20, RequestBytesMax: 1 << 20})
			for i := range w.committed {
				reply, err := twin.Commit(&w.committed[i])
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range w.exchanges {
					if model.Checksum(e.Request[:16]) == w.committed[i].RequestChecksum {
						e.Reply = bytes.Clone(reply)
					}
				}
			}
		}, "it began at 30, after a reply of op 5"},
	} {
		for _, logFirst := range []bool{true, false} {
			w := build()
			c.spoil(w)
			var failures []error
			log := func() {
				for i := range w.committed {
					failures = append(failures, w.judge.Commit(&w.committed[i]))
				}
			}
			if logFirst {
				log()
			}
			for _, e := range w.exchanges {
				failures = append(failures, w.judge.Add(e))
			}
			if !logFirst {
				log()
			}
			failures = append(failures, w.judge.Finish(nil))
			var first error
			for _, err := range failures {
				if err != nil {
					first = err
					break
				}
			}
			if (first == nil) != (c.why == "") || first != nil && !strings.Contains(first.Error(), c.why) {
				t.Errorf("%s (log first: %v): error %v, want %q", c.name, logFirst, first, c.why)
			}
		}
	}
}
