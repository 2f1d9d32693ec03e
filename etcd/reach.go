package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// Bounds of an attempt to connect: how long it may take, and how long the other
// side has to refuse our certificate, which in TLS 1.3 it does afterwards.
const (
	reachTimeout  = 2 * time.Second
	refuseTimeout = 200 * time.Millisecond
)

// Reach connects once to every endpoint and returns why that failed, endpoint by
// endpoint; nil when it did not. It is for people whose request had no answer in
// time: the library tries again until then and does not say what was wrong.
func (c Config) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	errs := make([]error, len(c.Endpoints))
	var all sync.WaitGroup
	for i, e := range c.Endpoints {
		all.Go(func() { errs[i] = c.reach(ctx, e) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c Config) reach(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("connecting to etcd: %w", err)
	}
	conn, err := c.dialer().DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fmt.Errorf("connecting to etcd at %s: %w", endpoint, err)
	}
	defer conn.Close()
	if c.TLS == nil {
		return nil
	}
	conn.SetReadDeadline(time.Now().Add(refuseTimeout))
	_, err = conn.Read(make([]byte, 1))
	if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" {
		return fmt.Errorf("connecting to etcd at %s: it refuses our certificate: %w", endpoint, err)
	}
	return nil
}

// dialer is what connects to an endpoint.
func (c Config) dialer() interface {
	DialContext(context.Context, string, string) (net.Conn, error)
} {
	if c.TLS == nil {
		return &net.Dialer{}
	}
	config := c.TLS.Clone()
	config.NextProtos = []string{"h2"}
	return &tls.Dialer{Config: config}
}
