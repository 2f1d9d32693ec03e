package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/clustermesh"
)

// ErrNotFound marks the error of a page that was asked for something that is
// not there.
var ErrNotFound = errors.New("not found")

// Report is what every role answers to /status.
type Report struct {
	Role    string             `json:"role"`
	Node    string             `json:"node"`
	Version string             `json:"version"`
	PID     int                `json:"pid"`
	Started time.Time          `json:"started"`
	Health  clustermesh.Health `json:"health"`
	// Reasons say why Health is not OK.
	Reasons []string `json:"reasons,omitempty"`
	// NotReady says why the role does not do its work yet; empty when it does.
	NotReady string `json:"notReady,omitempty"`
	// Detail is the role's own.
	Detail any `json:"detail,omitempty"`
}

// Page returns a value to be served as JSON.
type Page func(r *http.Request) (any, error)

// Surface is what a role shows of itself. Its functions may be called at any
// time, from several goroutines.
type Surface struct {
	Role, Node, Version string
	// Health returns the state of the role, and why it is not OK.
	Health func() (clustermesh.Health, []string)
	// Ready returns nil once the role does its work, or what it waits for.
	Ready func() error
	// Detail returns the role's own part of its status; it may be missing.
	Detail func() any
	// Pages are the role's own, by path: "/services".
	Pages map[string]Page
	// Actions are pages that change something when they are asked, by POST.
	Actions map[string]Page
	// Samples are the role's metrics; it may be missing.
	Samples Samples
	// Listen is a TCP address for /metrics, /healthz and /readyz, or empty.
	Listen string
}

// shutdownGrace is how long answers under way may take when the role ends.
const shutdownGrace = time.Second

// Serve answers on the socket, and on TCP where it is asked to, until ctx
// ends. The socket is closed then; the claim on the role stays until Close.
func (s *Socket) Serve(ctx context.Context, surface Surface, log *slog.Logger) error {
	started := time.Now()
	probes := surface.probes()
	all := surface.handler(probes, started)
	listeners := map[net.Listener]http.Handler{s.listener: all}
	if surface.Listen != "" {
		l, err := net.Listen("tcp", surface.Listen)
		if err != nil {
			return fmt.Errorf("listening for metrics: %w", err)
		}
		listeners[l] = probes
		log.Info("serving metrics", "address", l.Addr().String())
	}
	g, ctx := errgroup.WithContext(ctx)
	for l, h := range listeners {
		server := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		}
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
			return nil
		})
		g.Go(func() error { return shutdown(ctx, server) })
	}
	return g.Wait()
}

// shutdown waits for the end of ctx, then for answers under way.
func shutdown(ctx context.Context, server *http.Server) error {
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(last) != nil {
		return server.Close()
	}
	return nil
}

// probes answers what may be asked from elsewhere.
func (f Surface) probes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", f.metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		health, _ := f.Health()
		answer(w, health != clustermesh.HealthStopped, string(health))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := f.Ready(); err != nil {
			answer(w, false, err.Error())
			return
		}
		answer(w, true, "ready")
	})
	return mux
}

func answer(w http.ResponseWriter, ok bool, text string) {
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, text+"\n")
}

// handler answers everything.
func (f Surface) handler(probes http.Handler, started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", probes)
	page(mux, "GET /status", func(*http.Request) (any, error) { return f.report(started), nil })
	for path, p := range f.Pages {
		page(mux, "GET "+path, p)
	}
	for path, p := range f.Actions {
		page(mux, "POST "+path, p)
	}
	paths := slices.Sorted(maps.Keys(f.Pages))
	page(mux, "GET /{$}", func(*http.Request) (any, error) {
		return append([]string{"/status", "/metrics", "/healthz", "/readyz"}, paths...), nil
	})
	return mux
}

func (f Surface) report(started time.Time) Report {
	r := Report{Role: f.Role, Node: f.Node, Version: f.Version, PID: os.Getpid(), Started: started.UTC()}
	r.Health, r.Reasons = f.Health()
	if err := f.Ready(); err != nil {
		r.NotReady = err.Error()
	}
	if f.Detail != nil {
		r.Detail = f.Detail()
	}
	return r
}

// page serves what p returns at a method and path.
func page(mux *http.ServeMux, pattern string, p Page) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := p(r)
		if err != nil {
			status := http.StatusBadRequest
			if errors.Is(err, ErrNotFound) {
				status = http.StatusNotFound
			}
			http.Error(w, err.Error(), status)
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			http.Error(w, fmt.Sprintf("writing %s as JSON: %v", r.URL.Path, err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	})
}
