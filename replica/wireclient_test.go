package replica

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
	"unsafe"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// replyWithin bounds every wait of a test for the server.
const replyWithin = 20 * time.Second

// wireClient speaks the protocol by hand: it keeps the very bytes of its last request and of the
// reply.
type wireClient struct {
	t       *testing.T
	address string
	id      wire.U128
	conn    net.Conn
	session uint64
	number  uint32
	parent  wire.Checksum
	view    uint32
	bodyMax uint32
	release wire.Release
	request []byte // last sent
	reply   []byte // last received
}

// dialed is a client with a connection and without a session.
func dialed(t *testing.T, address string, id uint64) *wireClient {
	t.Helper()
	c := &wireClient{t: t, address: address, release: wire.ReleaseCurrent, id: wire.U128FromBytes([]byte{byte(id), byte(id >> 8), 15: 0x77})}
	c.connect()
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// registered is a client with a session.
func registered(t *testing.T, address string, id uint64) *wireClient {
	t.Helper()
	c := dialed(t, address, id)
	c.register()
	return c
}

func (c *wireClient) connect() {
	c.t.Helper()
	if c.conn != nil {
		c.conn.Close()
	}
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn = conn
}

func (c *wireClient) register() {
	c.t.Helper()
	c.session, c.number, c.parent = 0, 0, wire.Checksum{}
	body := c.do(wire.OperationRegister, make([]byte, wire.RegisterBodyBytes))
	h := wire.HeaderOf(c.reply)
	c.session, c.bodyMax = h.ReplyCommit(), wire.RegisterReplyBatchBytesMax(body)
	if c.session == 0 || c.bodyMax == 0 {
		c.t.Fatalf("a register was answered with session %d and bodies of %d bytes", c.session, c.bodyMax)
	}
}

// send sends the next request.
func (c *wireClient) send(o wire.Operation, body []byte) {
	c.t.Helper()
	c.request = make([]byte, wire.HeaderBytes+len(body))
	copy(c.request[wire.HeaderBytes:], body)
	wire.BuildRequest(wire.HeaderOf(c.request), &wire.RequestFields{
		Client: c.id, Parent: c.parent, Session: c.session, Number: c.number, View: c.view, Release: c.release, Operation: o,
	}, c.request[wire.HeaderBytes:])
	c.resend()
}

// resend sends the last request again, byte for byte.
func (c *wireClient) resend() {
	c.t.Helper()
	if _, err := c.conn.Write(c.request); err != nil {
		c.t.Fatal(err)
	}
}

// receive takes the next message.
func (c *wireClient) receive() (*wire.Header, []byte, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(replyWithin))
	message := make([]byte, wire.HeaderBytes)
	if _, err := io.ReadFull(c.conn, message); err != nil {
		return nil, nil, err
	}
	size := wire.HeaderOf(message).SizeBytes()
	if size < wire.HeaderBytes || size > wire.MessageBytesMax {
		return nil, nil, fmt.Errorf("a message of %d bytes", size)
	}
	message = append(message, make([]byte, size-wire.HeaderBytes)...)
	if _, err := io.ReadFull(c.conn, message[wire.HeaderBytes:]); err != nil {
		return nil, nil, err
	}
	return wire.HeaderOf(message), message, nil
}

// answer takes the reply to the last request.
func (c *wireClient) answer() []byte {
	c.t.Helper()
	h, message, err := c.receive()
	if err != nil {
		c.t.Fatalf("waiting for the reply to request %d: %v", c.number, err)
	}
	if h.Command() != wire.CommandReply {
		c.t.Fatalf("request %d was answered with command %d", c.number, h.Command())
	}
	if h.ReplyRequestChecksum() != wire.HeaderOf(c.request).Checksum() || h.Checksum() != h.ComputeChecksum() {
		c.t.Fatalf("request %d: the reply is none to it", c.number)
	}
	c.reply = message
	c.parent, c.view = h.ReplyContext(), max(c.view, h.View())
	c.number++
	return message[wire.HeaderBytes:]
}

func (c *wireClient) do(o wire.Operation, body []byte) []byte {
	c.t.Helper()
	c.send(o, body)
	return c.answer()
}

// one makes a body with a single batch of events.
func one(o wire.Operation, events []byte) []byte {
	if !o.IsMultiBatch() {
		return events
	}
	buffer := make([]byte, uint64(len(events))+wire.TrailerBytes(o.EventBytes(), 1))
	encoder := wire.NewBatchEncoder(buffer, o.EventBytes(), 1)
	encoder.EndBatch(copy(encoder.Free(), events) / int(o.EventBytes()))
	return encoder.Finish()
}

// results are those of a reply with a single batch.
func (c *wireClient) results(o wire.Operation, body []byte) []byte {
	c.t.Helper()
	if !o.IsMultiBatch() {
		return body
	}
	batches, fault := wire.DecodeBatches(body, o.ResultBytes())
	if fault != "" {
		c.t.Fatalf("reply to request %d: %s", c.number-1, fault)
	}
	rows, _ := batches.Next()
	return rows
}

// ask sends one batch of events and returns its results.
func (c *wireClient) ask(o wire.Operation, events []byte) []byte {
	c.t.Helper()
	return c.results(o, c.do(o, one(o, events)))
}

// bytesOf shows records as bytes.
func bytesOf[T any](records []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(one)))
}

// wantCreated checks that all count events of a create were carried out.
func (c *wireClient) wantCreated(results []byte, count int) {
	c.t.Helper()
	list := client.View[client.CreateTransferResult](results)
	if len(list) != count {
		c.t.Fatalf("%d results for %d events", len(list), count)
	}
	for i := range list {
		if list[i].Status != accounting.TransferStatusCreated {
			c.t.Fatalf("event %d of %d: status %d", i, count, list[i].Status)
		}
	}
}

// makeAccounts creates accounts from..from+count-1 of ledger 1.
func (c *wireClient) makeAccounts(from, count uint64) {
	c.t.Helper()
	accounts := make([]accounting.Account, count)
	for i := range accounts {
		accounts[i] = accounting.Account{ID: wire.U128From(from + uint64(i)), Ledger: 1, Code: 1}
	}
	c.wantCreated(c.ask(wire.OperationCreateAccounts, bytesOf(accounts)), int(count))
}

// makeTransfers creates transfers from..from+count-1 of 1 each from account debit to account
// credit.
func (c *wireClient) makeTransfers(from, count, debit, credit uint64) {
	c.t.Helper()
	c.wantCreated(c.ask(wire.OperationCreateTransfers, bytesOf(transfers(from, count, debit, credit))), int(count))
}

func transfers(from, count, debit, credit uint64) []accounting.Transfer {
	list := make([]accounting.Transfer, count)
	for i := range list {
		list[i] = accounting.Transfer{ID: wire.U128From(from + uint64(i)), DebitAccountID: wire.U128From(debit),
			CreditAccountID: wire.U128From(credit), Amount: wire.U128From(1), Ledger: 1, Code: 1}
	}
	return list
}

// posted is what account id has posted: debits and credits.
func (c *wireClient) posted(id uint64) (debits, credits uint64) {
	c.t.Helper()
	found := client.View[accounting.Account](c.ask(wire.OperationLookupAccounts, bytesOf([]wire.U128{wire.U128From(id)})))
	if len(found) != 1 {
		c.t.Fatalf("account %d was found %d times", id, len(found))
	}
	return found[0].DebitsPosted.Lo, found[0].CreditsPosted.Lo
}
