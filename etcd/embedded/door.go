package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// errNoAnswer says that a member was not heard.
var errNoAnswer = errors.New("no answer")

// waitingPath is where a member that has no data says so, at the address at
// which etcd serves membersPath to other members once it has some.
const (
	waitingPath = "/tombolo/waiting"
	membersPath = "/members"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// door is where a member without data listens to the others and asks them. Only
// who shows a member's certificate comes in.
type door struct {
	server *http.Server
	client *http.Client
	work   sync.WaitGroup
	once   sync.Once
}

// openDoor listens where etcd is going to.
func openDoor(cfg Config, log *slog.Logger) (*door, error) {
	at, err := cfg.Cluster.listen()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", at.Host)
	if err != nil {
		return nil, fmt.Errorf("listening to other members: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+waitingPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	d := &door{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: askFor, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	if at.Scheme == "https" {
		if err := d.secure(cfg, log); err != nil {
			listener.Close()
			return nil, err
		}
	}
	d.work.Go(func() {
		if at.Scheme == "https" {
			d.server.ServeTLS(listener, "", "") // ends with close
			return
		}
		d.server.Serve(listener)
	})
	return d, nil
}

// secure has both sides show and check certificates.
func (d *door) secure(cfg Config, log *slog.Logger) error {
	info, err := cfg.peerTLS(log)
	if err != nil {
		return err
	}
	if d.server.TLSConfig, err = info.ServerConfig(); err != nil {
		return fmt.Errorf("configuring TLS between members: %w", err)
	}
	t := d.client.Transport.(*http.Transport)
	if t.TLSClientConfig, err = info.ClientConfig(); err != nil {
		return fmt.Errorf("configuring TLS between members: %w", err)
	}
	return nil
}

// peerTLS is what members show each other and want of each other.
func (c Config) peerTLS(log *slog.Logger) (transport.TLSInfo, error) {
	cn, err := c.memberCN()
	if err != nil {
		return transport.TLSInfo{}, err
	}
	return transport.TLSInfo{
		CertFile: c.TLS.Cert, KeyFile: c.TLS.Key, TrustedCAFile: c.TLS.CA, ClientCertAuth: true,
		AllowedCNs: []string{cn},
		// The name says who it is; the address of a member may change, and may
		// be one that no DNS knows.
		SkipClientSANVerify: true,
		Logger:              zapLogger(log),
	}, nil
}

// close makes room for etcd; it may be called twice.
func (d *door) close() {
	d.once.Do(func() {
		d.server.Close()
		d.work.Wait()
		d.client.CloseIdleConnections()
	})
}

// ask asks a member whether it waits or has a store.
func (d *door) ask(ctx context.Context, url string) answer {
	raw, status, err := d.get(ctx, url+membersPath)
	if err != nil {
		return answer{err: err}
	}
	if status == http.StatusNotFound {
		_, status, err = d.get(ctx, url+waitingPath)
		return answer{waits: status == http.StatusNoContent, err: err}
	}
	var members []struct {
		ClientURLs []string `json:"clientURLs"`
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return answer{err: fmt.Errorf("reading the answer of %s: %w", url, err)}
	}
	a := answer{err: errors.New("it has a store that does not serve yet")}
	for _, m := range members {
		a.client = append(a.client, m.ClientURLs...)
	}
	return a
}

func (d *door) get(ctx context.Context, url string) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return raw, resp.StatusCode, err
}
