package frames

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const (
	replyWithin = 10 * time.Second
	// Long against a reply's way over loopback, short against the recorder's 300 to 2000 ms: the
	// recordings have some 25 silences.
	silenceFor = 200 * time.Millisecond
)

// player replays scenarios against one server, and keeps what a client would: sessions, contexts,
// timestamps.
type player struct {
	address string
	// restart stops the server and starts it on the same file and port.
	restart func() error

	connections map[int]*connection
	contexts    map[string][]byte // a recorded context -> the live one
	sessions    map[string]session
	views       map[uint64]uint64 // a recorded view -> the live one
	sentAs      map[string][]byte // a recorded request's checksum -> that of the request sent
	clock       *clock
	viewMax     uint64

	differences []string
	framesCount int
}

// session is a session's number in the recording and on the live server.
type session struct{ recorded, live uint64 }

type connection struct {
	net.Conn
	reader *bufio.Reader
	ended  bool
}

func newPlayer(address string) *player {
	return &player{
		address:     address,
		connections: make(map[int]*connection),
		contexts:    make(map[string][]byte),
		sessions:    make(map[string]session),
		views:       make(map[uint64]uint64),
		sentAs:      make(map[string][]byte),
		clock:       newClock(),
	}
}

// close closes all connections.
func (p *player) close() {
	for number, c := range p.connections {
		c.Close()
		delete(p.connections, number)
	}
}

func (p *player) connect(number int) (*connection, error) {
	if c := p.connections[number]; c != nil {
		return c, nil
	}
	plain, err := net.DialTimeout("tcp", p.address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: plain, reader: bufio.NewReaderSize(plain, 1<<16)}
	p.connections[number] = c
	return c, nil
}

// hook runs before a step. It says whether to leave the step out.
type hook func(s *step) (skip bool, err error)

// play replays a scenario. An error ends it; what differs is collected in p.differences.
func (p *player) play(scenario string, steps []*step, before hook) error {
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		if before != nil {
			if skip, err := before(s); err != nil {
				return fmt.Errorf("%s, seq %d: %w", scenario, s.Seq, err)
			} else if skip {
				continue
			}
		}
		// A pong and a reply that follow each other may change places.
		if i+1 < len(steps) {
			p.swap(s, steps[i+1])
		}
		differences, err := p.step(s)
		for _, difference := range differences {
			p.differences = append(p.differences, fmt.Sprintf("%s, seq %d (%s): %s", scenario, s.Seq, s.Note, difference))
		}
		if err != nil {
			return fmt.Errorf("%s, seq %d (%s): %w", scenario, s.Seq, s.Note, err)
		}
	}
	return nil
}

// swap exchanges the frames of two steps if the server sent them in the other order.
func (p *player) swap(a, b *step) {
	if a.sent() || b.sent() || a.frame == nil || b.frame == nil || a.Conn != b.Conn || a.frame.command() == b.frame.command() {
		return
	}
	c := p.connections[a.Conn]
	if c == nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(replyWithin))
	if header, err := c.reader.Peek(headerBytes); err == nil && frame(header).command() == b.frame.command() {
		a.frame, b.frame = b.frame, a.frame
	}
}

func (p *player) step(s *step) (differences []string, err error) {
	switch {
	case s.Event == "peer closed the connection" && s.sent():
		if c := p.connections[s.Conn]; c != nil {
			c.Close()
			delete(p.connections, s.Conn)
		}
		return nil, nil
	case s.silent():
		return p.expectSilence(s.Conn, silenceFor), nil
	case s.closed():
		return p.expectEnd(s.Conn), nil
	case s.Event != "":
		return nil, nil // "recording ended", or the end of the server's own half
	case s.sent():
		return nil, p.send(s)
	}
	live, err := p.receive(s.Conn, replyWithin)
	if err != nil {
		return nil, fmt.Errorf("want a %v: %w", s.frame.command(), err)
	}
	return p.compare(s.frame, live), nil
}

func (p *player) send(s *step) error {
	c, err := p.connect(s.Conn)
	if err != nil {
		return err
	}
	out := s.raw
	if s.frame != nil {
		out = p.substituted(s.frame)
	}
	p.framesCount++
	c.SetWriteDeadline(time.Now().Add(replyWithin))
	if strings.Contains(s.Note, "split at odd offset") {
		if _, err := c.Write(out[:101]); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		out = out[101:]
	}
	if _, err := c.Write(out); err != nil {
		return err
	}
	if strings.Contains(s.Note, "half-close") {
		return c.Conn.(*net.TCPConn).CloseWrite()
	}
	return nil
}

// substituted is a recorded frame with the live server's values for what a client learns from
// replies.
func (p *player) substituted(recorded frame) frame {
	live := frame(bytes.Clone(recorded))
	intact, bodyIntact := recorded.headerIntact(), recorded.bodyIntact()
	setSession := func(at field) {
		// A number that is wrong on purpose keeps its distance from the right one.
		if known, found := p.sessions[recorded.client()]; found && recorded.number(at) != 0 {
			live.setNumber(at, known.live+recorded.number(at)-known.recorded)
		}
	}
	switch recorded.command() {
	case request:
		if context, known := p.contexts[string(recorded.get(requestParent))]; known {
			copy(live.get(requestParent), context)
		}
		setSession(requestSession)
		if view, known := p.views[recorded.number(viewField)]; known && recorded.number(viewField) != 0 {
			live.setNumber(viewField, view)
		}
		if recorded.number(requestOperation) == 137 && len(live.body()) == 64 {
			for _, at := range []int{0, 8} { // timestamp_min, timestamp_max
				in := field{headerBytes + at, 8, "timestamp"}
				live.setNumber(in, p.clock.substitute(recorded.number(in)))
			}
		}
	case pingClient:
		setSession(pingSession)
	}
	if bodyIntact {
		sum := live.bodyChecksum()
		copy(live.get(checksumBodyField), sum[:])
	}
	if intact { // otherwise it is broken on purpose
		live.seal()
	}
	p.sentAs[string(recorded.get(checksumField))] = bytes.Clone(live.get(checksumField))
	return live
}

func (p *player) receive(number int, within time.Duration) (frame, error) {
	c, err := p.connect(number)
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(within))
	live := make(frame, headerBytes)
	if _, err := io.ReadFull(c.reader, live); err != nil {
		return nil, err
	}
	size := live.number(sizeField)
	if size < headerBytes || size > messageBytesMax {
		return nil, fmt.Errorf("the server sent a frame of size %d", size)
	}
	live = append(live, make([]byte, size-headerBytes)...)
	if _, err := io.ReadFull(c.reader, live[headerBytes:]); err != nil {
		return nil, err
	}
	p.framesCount++
	return live, nil
}

// compare compares a message of the server with the recorded one and learns from the pair.
func (p *player) compare(recorded, live frame) []string {
	if recorded.command() != live.command() {
		return []string{fmt.Sprintf("the server sent a %v, want a %v", live.command(), recorded.command())}
	}
	differences := append(wellFormed(live), compareFields(recorded, live, clusterField, sizeField)...)
	if view := live.number(viewField); view < p.viewMax {
		differences = append(differences, fmt.Sprintf("view goes back from %d to %d", p.viewMax, view))
	} else {
		p.viewMax = view
		p.views[recorded.number(viewField)] = view
	}
	switch recorded.command() {
	case pongClient:
		return append(differences, compareFields(recorded, live, field{128, 8, "ping_timestamp_monotonic"})...)
	case eviction:
		return append(differences, compareFields(recorded, live, pingClientID, evictionReason)...)
	}
	differences = append(differences, compareFields(recorded, live, releaseField, replyClient, replyRequest, replyOperation)...)
	if want := p.sentAs[string(recorded.get(replyRequestChecksum))]; !bytes.Equal(want, live.get(replyRequestChecksum)) {
		differences = append(differences, fmt.Sprintf("request_checksum is %x, want %x", live.get(replyRequestChecksum), want))
	}
	if old, known := p.contexts[string(recorded.get(replyContext))]; known {
		// A stored reply, sent again: its view may have moved on since, its context may not.
		if !bytes.Equal(old, live.get(replyContext)) {
			differences = append(differences, "a stored reply came back with another context")
		}
	} else if want := contextOf(live); !bytes.Equal(want, live.get(replyContext)) {
		differences = append(differences, fmt.Sprintf("context is %x, want %x", live.get(replyContext), want))
	}
	operation := byte(recorded.number(replyOperation))
	p.contexts[string(recorded.get(replyContext))] = bytes.Clone(live.get(replyContext))
	if operation == 2 {
		p.sessions[recorded.client()] = session{recorded.number(replyCommit), live.number(replyCommit)}
	}
	return append(differences, compareBodies(operation, recorded, live, p.clock)...)
}

// expectSilence wants no byte and no end on a connection.
func (p *player) expectSilence(number int, within time.Duration) []string {
	if live, err := p.receive(number, within); err == nil {
		return []string{fmt.Sprintf("the server sent a %v, want silence", live.command())}
	} else if !errors.Is(err, os.ErrDeadlineExceeded) {
		return []string{fmt.Sprintf("want silence: %v", err)}
	}
	return nil
}

// expectEnd wants the server to close a connection. A reply to a request before a half-close may
// come first: the reference server drops it, a better one delivers it.
func (p *player) expectEnd(number int) []string {
	c := p.connections[number]
	if c == nil || c.ended {
		return nil // told already
	}
	for {
		live, err := p.receive(number, replyWithin)
		switch {
		case err == nil && live.command() == reply:
			continue
		case err == nil:
			return []string{fmt.Sprintf("the server sent a %v, want an end of the connection", live.command())}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return []string{fmt.Sprintf("the server keeps the connection open for %v, want an end of it", replyWithin)}
		}
		c.ended = true
		return nil
	}
}
