package admin

import (
	"net"
	"sync"
)

// DescriptorsMax is the most that the endpoint has open beside its listener: its connections, and
// the newest one before the oldest is closed.
const DescriptorsMax = connectionsMax + 1

// connectionsMax is the largest number of connections of the endpoint. It suffices for some
// scrapers, probes and people, and it bounds the descriptors.
const connectionsMax = 64

// boundedListener holds at most connectionsMax connections; a new one closes the oldest. So a
// liveness probe gets through at once, even if clients that do not read hold all connections.
type boundedListener struct {
	net.Listener
	mutex       sync.Mutex
	connections []*boundedConn // from the oldest to the newest
	closedCount uint64         // connections that were closed because they were the oldest
	garbage     *garbage
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
	l.garbage.tidy() // a connection that asks for no page leaves some as well
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
		_ = oldest.Close() // its client has been served or does not read
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

// held returns the number of open connections, and the number that were closed for a newer one.
func (l *boundedListener) held() (count int, closedCount uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.connections), l.closedCount
}
