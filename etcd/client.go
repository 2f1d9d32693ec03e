package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Config says which store to talk to.
type Config struct {
	// Endpoints are the URLs of the store's members.
	Endpoints []string
	// TLS authenticates both sides; nil is for plain connections.
	TLS *tls.Config
}

// Client is a connection to a store. It may be shared by goroutines.
type Client struct {
	etcd   *clientv3.Client
	config Config
}

// Bounds of the connection. A dead connection is noticed within keepAlive +
// keepAliveTimeout (etcd refuses pings that are less than 5 s apart); request
// bounds one request, so that a hanging server looks like a dead one.
const (
	keepAlive        = 10 * time.Second
	keepAliveTimeout = 4 * time.Second
	request          = 10 * time.Second
)

// Dial returns a client of the store. It never blocks: requests connect. Its error is
// about the configuration.
func Dial(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("connecting to etcd: %w", err)
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints:            cfg.Endpoints,
		TLS:                  cfg.TLS,
		DialKeepAliveTime:    keepAlive,
		DialKeepAliveTimeout: keepAliveTimeout,
		Logger:               zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd at %v: %w", cfg.Endpoints, err)
	}
	return &Client{etcd: c, config: cfg}, nil
}

// Raw returns the client underneath, for what this package does not offer.
func (c *Client) Raw() *clientv3.Client { return c.etcd }

// Close ends the connection and all that uses it.
func (c *Client) Close() error { return c.etcd.Close() }

// Answers returns nil once a member has answered, whatever it said: that we may not
// read a key is an answer too. It waits no longer than 10 s, and asks for no majority,
// so that what is left of a store can still be saved.
func (c *Client) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	_, err := c.etcd.Get(ctx, "health", clientv3.WithSerializable()) // as etcdctl asks
	if err != nil && !errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied) {
		return fmt.Errorf("asking whether the store answers: %w", err)
	}
	return nil
}

// KV is a key as it is stored.
type KV struct {
	Key   string
	Value []byte
	// Created and Revision are the store's revisions at which the key was
	// created and last written.
	Created, Revision int64
}

// Get returns a key; false when it does not exist.
func (c *Client) Get(ctx context.Context, key string) (KV, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	resp, err := c.etcd.Get(ctx, key)
	if err != nil {
		return KV{}, false, fmt.Errorf("reading %s: %w", key, err)
	}
	if len(resp.Kvs) == 0 {
		return KV{}, false, nil
	}
	return toKV(resp.Kvs[0]), true, nil
}

// Put writes a key, unfenced: for keys that have one writer by their name.
func (c *Client) Put(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	if _, err := c.etcd.Put(ctx, key, string(value)); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}

// Delete deletes a key, unfenced.
func (c *Client) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	if _, err := c.etcd.Delete(ctx, key); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}

// PutFor writes a key, unfenced, that goes by itself some time later: whole
// seconds, 2 at least.
func (c *Client) PutFor(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	lease, err := c.etcd.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return fmt.Errorf("asking for a lease for %s: %w", key, err)
	}
	if _, err := c.etcd.Put(ctx, key, string(value), clientv3.WithLease(lease.ID)); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}
