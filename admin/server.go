package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/bytebufferpool"
)

// Options of an endpoint.
type Options struct {
	Version   string // of the program
	PageBytes uint32 // of the grid
	Pprof     bool   // serve profiles
}

// Server is the endpoint. A nil one is an endpoint that nobody wants.
type Server struct {
	listener  net.Listener
	http      *http.Server
	collector *collector
	ready     atomic.Bool
	closing   sync.Once
	ended     chan struct{}
}

// Listen opens the endpoint's port. Nothing is answered before Serve, so a port that is taken can be said before anything runs.
func Listen(address string) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Server{listener: listener, ended: make(chan struct{})}, nil
}

// Address that it listens on.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers from now on, with the figures of source, until Close.
func (s *Server) Serve(source Source, o Options) error {
	if s == nil {
		return nil
	}
	s.collector = newCollector(source, &o)
	registry := prometheus.NewPedanticRegistry() // it checks that what we send is what we described
	if err := registry.Register(s.collector); err != nil {
		return fmt.Errorf("registering the metrics: %w", err)
	}
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.index)
	pages.Handle("GET /metrics", s.noticing(promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})))
	pages.Handle("GET /summary", s.noticing(http.HandlerFunc(s.summary)))
	pages.HandleFunc("GET /healthz", s.health)
	pages.HandleFunc("GET /readyz", s.readiness)
	if o.Pprof {
		pages.HandleFunc("GET /debug/pprof/", pprof.Index)
		pages.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		pages.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		pages.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		pages.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	s.http = &http.Server{
		Handler:           pages,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
	}
	go func() {
		defer close(s.ended)
		_ = s.http.Serve(s.listener) // it ends with Close
	}()
	return nil
}

// SetReady says whether clients are served. Any thread. Without an endpoint (nil) it does nothing.
func (s *Server) SetReady(ready bool) {
	if s != nil {
		s.ready.Store(ready)
	}
}

// closeMax bounds how long Close waits for pages that are being written.
const closeMax = time.Second

// Close ends the endpoint; after it the source is not asked again. Without an endpoint (nil), or again, it does nothing.
func (s *Server) Close() (err error) {
	if s != nil {
		s.closing.Do(func() { err = s.close() })
	}
	return err
}

func (s *Server) close() error {
	if s.http == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeMax)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // a profile, or a reader that does not read
	}
	<-s.ended
	s.collector.mutex.Lock() // for ever: whoever is still about to collect never does
	return err
}

// noticing hands the collector what only the endpoint knows.
func (s *Server) noticing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.collector.mutex.Lock()
		s.collector.snapshot.ready = s.ready.Load()
		s.collector.mutex.Unlock()
		next.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader is gone, or is not
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	text(w, http.StatusOK, []byte("/metrics\n/summary\n/healthz\n/readyz\n"))
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	text(w, http.StatusOK, []byte("the process lives\n"))
}

func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	if s.ready.Load() {
		text(w, http.StatusOK, []byte("clients are served\n"))
		return
	}
	text(w, http.StatusServiceUnavailable, []byte("clients are not served: the log is being executed again after a start, or the server is stopping\n"))
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	page := bytebufferpool.Get()
	defer bytebufferpool.Put(page)
	s.collector.with(func(snapshot *snapshot) { writeSummary(page, snapshot) })
	text(w, http.StatusOK, page.B)
}
