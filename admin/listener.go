package admin

import (
	"net"
	"sync"
)

// DescriptorsMax is the most that the endpoint has open beside its listener: its connections, and the newest before the oldest is closed.
const DescriptorsMax = connectionsMax + 1

// connectionsMax is how many connections the endpoint holds: some scrapers, probes and people, and not more descriptors than that.
const connectionsMax = 64

// boundedListener holds at most connectionsMax connections. One more closes the oldest: a liveness probe then gets through to an
// endpoint all of whose connections are held by readers that do not read, and waits for none of their timeouts.
type boundedListener struct {
	net.Listener
	mutex       sync.Mutex
	connections []*boundedConn // from the oldest to the newest
	closedCount uint64         // of the oldest
}

type boundedConn struct {
	net.Conn
	listener *boundedListener
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: conn, listener: l}
	var oldest *boundedConn
	l.mutex.Lock()
	if len(l.connections) == connectionsMax {
		oldest = l.connections[0]
		l.closedCount++
	}
	l.connections = append(l.connections, c)
	l.mutex.Unlock()
	if oldest != nil {
		_ = oldest.Close() // its reader does not mind, or is gone
	}
	return c, nil
}

// Close implements net.Conn. The HTTP server may close a connection that Accept has closed.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	l := c.listener
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for i, held := range l.connections {
		if held == c {
			l.connections = append(l.connections[:i], l.connections[i+1:]...)
			break
		}
	}
	return err
}

// held returns how many connections are open, and how many were closed for a newer one.
func (l *boundedListener) held() (count int, closedCount uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.connections), l.closedCount
}
