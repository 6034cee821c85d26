package cluster

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	chunkBytes = 64 << 10
	// chunksMax are the chunks of one direction that wait in the proxy. A sender whose bytes do not
	// leave is held back beyond them, as by full buffers of a kernel.
	chunksMax   = 64
	dialTimeout = 5 * time.Second
)

// flow is one direction of a link: what holds for the bytes that travel this way.
type flow struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and made again, when something below changes
	cut     bool
	delay   time.Duration
	rate    int // bytes per second; 0: no limit
	// tamper makes what arrives of a chunk; nil: the chunk.
	tamper func(chunk []byte) []byte
}

func newFlow() *flow { return &flow{changed: make(chan struct{})} }

func (f *flow) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// cutOff holds all bytes of this direction back, or lets them go on. No byte is lost: TCP repeats
// what a broken network has lost, when the network is whole again.
func (f *flow) cutOff(cut bool) { f.set(func() { f.cut = cut }) }

func (f *flow) delayed(delay time.Duration) { f.set(func() { f.delay = delay }) }

func (f *flow) throttled(bytesPerSecond int) { f.set(func() { f.rate = bytesPerSecond }) }

// tampered lets an attacker decide what arrives. tamper is called for one chunk at a time.
func (f *flow) tampered(tamper func(chunk []byte) []byte) { f.set(func() { f.tamper = tamper }) }

// arriving is what arrives of a chunk.
func (f *flow) arriving(chunk []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tamper == nil {
		return chunk
	}
	return f.tamper(chunk)
}

func (f *flow) now() (cut bool, delay time.Duration, rate int, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut, f.delay, f.rate, f.changed
}

// open waits until the direction is not cut. It returns false if done was closed first.
func (f *flow) open(done <-chan struct{}) bool {
	for {
		cut, _, _, changed := f.now()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// link is a TCP proxy: a listener, and for each connection to it a connection to target.
//
//	dialer --forth--> [link] --forth--> target
//	       <--back--         <--back--
type link struct {
	address     string // on which it listens
	target      string
	forth, back *flow
	listener    net.Listener
	done        chan struct{}
	running     sync.WaitGroup
}

func newLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{address: listener.Addr().String(), target: target, forth: newFlow(), back: newFlow(), listener: listener,
		done: make(chan struct{})}
	l.running.Go(l.accept)
	return l, nil
}

// close ends all connections, and returns when they have ended.
func (l *link) close() {
	close(l.done)
	l.listener.Close()
	l.running.Wait()
}

func (l *link) accept() {
	for {
		dialer, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.serve(dialer) })
	}
}

// serve carries one connection. While a direction is cut no new connection comes about, since its
// handshake needs both.
func (l *link) serve(dialer net.Conn) {
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	defer end()
	stop := make(chan struct{}) // either the connection or the link has ended
	l.running.Go(func() {
		select {
		case <-ended:
		case <-l.done:
		}
		dialer.Close()
		close(stop)
	})
	forth := make(chan chunk, chunksMax)
	l.running.Go(func() { l.read(dialer, l.forth, forth, stop) })
	if !l.forth.open(stop) || !l.back.open(stop) {
		return
	}
	target, err := net.DialTimeout("tcp", l.target, dialTimeout)
	if err != nil {
		return
	}
	defer target.Close()
	back := make(chan chunk, chunksMax)
	l.running.Go(func() { l.read(target, l.back, back, stop) })
	l.running.Go(func() {
		l.write(dialer, l.back, back, stop)
		end()
	})
	l.running.Go(func() {
		l.write(target, l.forth, forth, stop)
		end()
	})
	<-stop
}

// chunk is bytes on their way, with the time before which they do not arrive.
type chunk struct {
	bytes []byte
	due   time.Time
}

// read takes what comes from one end, until it ends.
func (l *link) read(from io.Reader, f *flow, into chan<- chunk, stop <-chan struct{}) {
	defer close(into)
	for {
		bytes := make([]byte, chunkBytes)
		count, err := from.Read(bytes)
		if count > 0 {
			_, delay, _, _ := f.now()
			select {
			case into <- chunk{bytes[:count], time.Now().Add(delay)}:
			case <-stop:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write hands on what read has taken, when it is due and the way is open.
func (l *link) write(to io.Writer, f *flow, from <-chan chunk, stop <-chan struct{}) {
	for one := range from {
		if wait := time.Until(one.due); wait > 0 && !pause(wait, stop) {
			return
		}
		if !f.open(stop) {
			return
		}
		if _, _, rate, _ := f.now(); rate > 0 && !pause(time.Duration(len(one.bytes))*time.Second/time.Duration(rate), stop) {
			return
		}
		if _, err := to.Write(f.arriving(one.bytes)); err != nil {
			return
		}
	}
	f.open(stop) // the end of a connection does not pass a cut either
}

// pause waits. It returns false if stop was closed first.
func pause(wait time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}
