package consensus

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/stages"
	"ledger/wire"
)

// Goal: the trailers of sessions and replies come back as they were written; any other bytes are an
// error, never a panic.
func FuzzSessionsTrailer(f *testing.F) {
	w := newTester(f, testLimits())
	for i := range uint64(3) {
		w.register(10 + i)
	}
	w.stage.snapshot.take(23, &w.stage.sessions, w.stage.slots)
	trailer, replies := bytes.Join(w.stage.snapshot.sessions.Records, nil), bytes.Join(w.stage.snapshot.sessions.Replies, nil)
	f.Add(trailer, replies)
	f.Add([]byte{}, []byte{})
	f.Add(trailer[:len(trailer)-1], replies)
	f.Add(append(bytes.Clone(trailer), 0), replies)
	f.Add(trailer, append(bytes.Clone(replies), 0))
	f.Add(trailer, replies[:len(replies)-1])
	f.Add(trailer, append(bytes.Clone(replies[320:]), replies[:320]...)) // others' replies
	twice := append(bytes.Clone(trailer), trailer[trailerHeaderBytes:][:trailerRecordBytes]...)
	twice[8]++
	binary.LittleEndian.PutUint32(twice[len(trailer)+recordIndex:], 3)
	f.Add(twice, append(bytes.Clone(replies), replies[:320]...))
	f.Fuzz(func(t *testing.T, data, dataReplies []byte) {
		memory := arena.New()
		defer memory.Close()
		table := newSessions(&hashing.Key{}, 4, memory)
		holds := newSlotHolds(w.slots)
		err := loadSessions(&table, 27, data, dataReplies, &holds)
		same := bytes.Equal(trailer, data) && bytes.Equal(replies, dataReplies)
		if same && err != nil {
			t.Fatal(err)
		}
		records, recordsErr := ReadSessions(data)
		if err == nil && (recordsErr != nil || len(records) != table.count()) {
			t.Fatalf("a table of %d sessions loads, and %d records are read: %v", table.count(), len(records), recordsErr)
		}
		if err == nil {
			again := newSnapshot(4, memory)
			again.take(23, &table, &holds)
			got, gotReplies := bytes.Join(again.sessions.Records, nil), bytes.Join(again.sessions.Replies, nil)
			if len(got) != len(data) || len(gotReplies) != len(dataReplies) {
				t.Fatal("what was taken is not what was read")
			} else if same && !(bytes.Equal(got, data) && bytes.Equal(gotReplies, dataReplies)) {
				t.Fatal("the trailers change on their way")
			}
		}
		for handle, count := range holds.counts[stages.SlotReply] {
			if count > 0 {
				holds.give(stages.SlotOf(stages.SlotReply, uint32(handle)))
			}
		}
	})
}

// Goal: the index agrees with a map under random changes, also when ids collide.
func TestClientIndexModel(t *testing.T) {
	w := newWorld(t, testLimits())
	x := newClientIndex(&hashing.Key{}, 20, w.memory, "test")
	model := map[wire.U128]uint32{}
	state := uint64(1)
	for i := range uint32(20_000) {
		state = state*6364136223846793005 + 1442695040888963407
		client := wire.U128{Lo: 1 + state>>60, Hi: state >> 40 & 3 << 32}
		if value, ok := x.get(client); ok != (func() bool { _, in := model[client]; return in })() || ok && value != model[client] {
			t.Fatalf("get gives %d %v, want %v", value, ok, model)
		}
		if _, in := model[client]; in {
			x.remove(client)
			delete(model, client)
		} else if len(model) < 20 {
			x.put(client, i)
			model[client] = i
		}
		if x.count != len(model) {
			t.Fatalf("count %d, want %d", x.count, len(model))
		}
	}
}

// loadSessions reads the two trailers into a table, as it is done when a checkpoint is opened.
func loadSessions(t *sessions, opTo uint64, trailer, replies []byte, slots *slotHolds) error {
	if err := t.load(opTo, trailer, uint64(len(replies)), slots); err != nil {
		return err
	}
	scatter(replies, t.replies(nil, slots))
	return t.checkReplies(slots)
}
