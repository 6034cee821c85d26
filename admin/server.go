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
	Version   string       // of the program
	PageBytes uint32       // of the grid
	Pprof     bool         // serve profiles
	Progress  fmt.Stringer // of the start: the reason why clients are not served yet; nil: unknown
	Log       Leveled      // whose level /log-level tells and changes; nil: none
	Figures   *Figures     // shared with others; nil: the endpoint's own
}

// Time limits. A connection ends when a request, or the answer to one, takes longer, or when the
// connection is idle for longer. A profile may take its own time and writeMax more: the handlers of
// pprof extend the deadline by the time of the profile.
const (
	readMax        = 5 * time.Second // of a request
	writeMax       = 10 * time.Second
	idleMax        = time.Minute
	headerBytesMax = 8 << 10
)

// Server is the endpoint. A nil Server stands for no endpoint.
type Server struct {
	listener  *boundedListener
	http      *http.Server
	collector *collector
	progress  fmt.Stringer
	log       Leveled
	source    atomic.Pointer[Source] // of the collector; nil before Attach
	state     atomic.Uint32
	closing   sync.Once
	ended     chan struct{}
	ending    chan struct{}
	watching  sync.WaitGroup // what Attach has started
}

// States of a server, by SetReady.
const (
	stateStarting = iota
	stateServing
	stateStopping
)

// Listen opens the endpoint's port. The endpoint answers from now on until Close. Before Attach
// there are no figures: /metrics and /summary answer like /readyz, with status 503 and the reason.
func Listen(address string, o Options) (*Server, error) {
	return listen(address, o, &http.Server{
		ReadTimeout: readMax, WriteTimeout: writeMax, IdleTimeout: idleMax, MaxHeaderBytes: headerBytesMax,
	})
}

// listen is Listen with the time limits of bounded.
func listen(address string, o Options, bounded *http.Server) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if o.Figures == nil {
		o.Figures = NewFigures(o.Version, o.PageBytes)
	}
	s := &Server{listener: &boundedListener{Listener: listener, garbage: &garbage{}}, collector: o.Figures.collector, progress: o.Progress,
		log:   o.Log,
		ended: make(chan struct{}), ending: make(chan struct{})}
	registry := prometheus.NewPedanticRegistry() // it checks that the sent metrics match their descriptions
	if err := registry.Register(s.collector); err != nil {
		return nil, errors.Join(fmt.Errorf("registering the metrics: %w", err), listener.Close())
	}
	s.http = bounded
	s.http.Handler = s.listener.garbage.after(s.pages(registry, o.Pprof))
	go func() {
		defer close(s.ended)
		_ = s.http.Serve(s.listener) // it ends with Close
	}()
	return s, nil
}

func (s *Server) pages(registry *prometheus.Registry, withProfiles bool) http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.index)
	pages.Handle("GET /metrics", s.noticing(promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})))
	pages.Handle("GET /summary", s.noticing(http.HandlerFunc(s.summary)))
	pages.Handle("GET /status", s.noticing(http.HandlerFunc(s.status)))
	pages.HandleFunc("GET /log-level", s.logLevel)
	pages.HandleFunc("PUT /log-level", s.logLevel)
	pages.HandleFunc("GET /healthz", s.health)
	pages.HandleFunc("GET /readyz", s.readiness)
	if withProfiles {
		pages.HandleFunc("GET /debug/pprof/", pprof.Index)
		pages.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		pages.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		pages.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		pages.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return pages
}

// Address is the address on which the endpoint listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// IsLoopback tells whether only this machine can reach the endpoint.
func (s *Server) IsLoopback() bool { return isLoopback(s.listener.Addr()) }

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Attach makes source the source of all figures until Close. Without an endpoint (nil) it does
// nothing.
func (s *Server) Attach(source Source) {
	if s == nil {
		return
	}
	s.collector.mutex.Lock()
	s.collector.source = source
	s.collector.mutex.Unlock()
	s.source.Store(&source)
	s.watching.Go(s.watchGrowth)
}

// SetReady tells whether clients are served. Any thread may call it. Without an endpoint (nil) it
// does nothing.
func (s *Server) SetReady(ready bool) {
	switch {
	case s == nil:
	case ready:
		s.state.Store(stateServing)
	default:
		s.state.Store(stateStopping)
	}
}

// closeMax bounds the time for which Close waits for pages that are being written.
const closeMax = time.Second

// Close ends the endpoint. After it, the source is not asked any more. Without an endpoint (nil),
// or when called again, it does nothing.
func (s *Server) Close() (err error) {
	if s != nil {
		s.closing.Do(func() { err = s.close() })
	}
	return err
}

func (s *Server) close() error {
	close(s.ending)
	s.watching.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeMax)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // a profile, or a client that does not read
	}
	<-s.ended
	s.collector.mutex.Lock() // for ever: no later collection may ask the source
	return err
}

// noticing refuses pages without figures and passes the endpoint's own figures to the collector.
func (s *Server) noticing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.source.Load() == nil {
			text(w, http.StatusServiceUnavailable, []byte("no figures yet: "+s.why()+"\n"))
			return
		}
		s.collector.mutex.Lock()
		s.collector.snapshot.ready = s.why() == ""
		s.collector.mutex.Unlock()
		next.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client is gone
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	text(w, http.StatusOK, []byte("/metrics\n/summary\n/status\n/healthz\n/readyz\n"))
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	text(w, http.StatusOK, []byte("the process lives\n"))
}

func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	if why := s.why(); why != "" {
		text(w, http.StatusServiceUnavailable, []byte("clients are not served: "+why+"\n"+s.healing()))
		return
	}
	text(w, http.StatusOK, []byte("clients are served\n"+s.healing()))
}

// healing is a line about what the replica gets from others, or "".
func (s *Server) healing() string {
	if source := s.source.Load(); source != nil {
		if what := (*source).Healing(); what != "" {
			return "healing: " + what + "\n"
		}
	}
	return ""
}

// why is the reason why clients are not served, or "".
func (s *Server) why() string {
	state := s.state.Load()
	if source := s.source.Load(); source != nil && state == stateServing {
		return (*source).Away()
	}
	switch {
	case state == stateServing:
		return ""
	case state == stateStopping:
		return "the server is stopping"
	case s.progress == nil:
		return "the server is starting"
	}
	return s.progress.String()
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	page := bytebufferpool.Get()
	defer bytebufferpool.Put(page)
	s.collector.with(func(snapshot *snapshot) { writeSummary(page, snapshot) })
	text(w, http.StatusOK, page.B)
}
