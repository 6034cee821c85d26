package admin

import (
	"net"
	"net/http"
)

// Pages is an endpoint with the pages of somebody else, and the bounds of Server.
type Pages struct {
	http  *http.Server
	at    net.Addr
	ended chan struct{}
}

// Serve opens a port and serves pages until Close.
func Serve(address string, pages http.Handler) (*Pages, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	bounded := &boundedListener{Listener: listener, garbage: &garbage{}}
	p := &Pages{http: &http.Server{Handler: pages, ReadTimeout: readMax, WriteTimeout: writeMax, IdleTimeout: idleMax,
		MaxHeaderBytes: headerBytesMax}, at: listener.Addr(), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = p.http.Serve(bounded) // it ends with Close
	}()
	return p, nil
}

// Address is the address on which the endpoint listens.
func (p *Pages) Address() string { return p.at.String() }

// IsLoopback tells whether only this machine can reach the endpoint.
func (p *Pages) IsLoopback() bool { return isLoopback(p.at) }

// Close ends the endpoint.
func (p *Pages) Close() error {
	err := p.http.Close()
	<-p.ended
	return err
}
