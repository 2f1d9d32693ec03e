package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds of an attempt to connect: how long it may take, and how long the other
// side has to refuse us afterwards: our certificate, in TLS 1.3, or a connection
// without TLS.
const (
	reachTimeout  = 2 * time.Second
	refuseTimeout = 200 * time.Millisecond
)

// What the way to an endpoint may lack besides what the errors of the network say.
var (
	errUnheard  = errors.New("no answer within " + reachTimeout.String())
	errMute     = errors.New("it takes connections and is silent")
	errNotPlain = errors.New("it ends connections without TLS")
)

// refusal is the alert with which the other side refuses our certificate.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Explain says why a request to the store ended with err: it connects once to every
// endpoint, within 2 s, and names each that cannot be reached, the reason and what
// mends it. The library tries again until the time is over, and does not say what was
// wrong. The text is one line, and the same for the same trouble.
func (c Config) Explain(ctx context.Context, err error) error {
	return explain(c.Endpoints, c.reach(ctx), err)
}

// Explain is that of the configuration with which the client was made.
func (c *Client) Explain(ctx context.Context, err error) error { return c.config.Explain(ctx, err) }

// reach connects once to every endpoint, and returns why that failed, by endpoint.
func (c Config) reach(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	errs := make([]error, len(c.Endpoints))
	var all sync.WaitGroup
	for i, e := range c.Endpoints {
		all.Go(func() { errs[i] = c.connect(ctx, e) })
	}
	all.Wait()
	return errs
}

// connect goes the way to an endpoint as far as it can.
func (c Config) connect(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	network, address := "tcp", u.Host
	if isSocket(u) {
		network, address = "unix", u.Path
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	switch timeout := net.Error(nil); {
	case errors.As(err, &timeout) && timeout.Timeout() && !looksUp(err):
		return errUnheard
	case err != nil:
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if c.TLS == nil {
		return greet(conn)
	}
	return c.handshake(ctx, conn, u.Hostname())
}

// looksUp says whether an error is about the name, not the way to the address.
func looksUp(err error) bool {
	name := (*net.DNSError)(nil)
	return errors.As(err, &name)
}

func (c Config) handshake(ctx context.Context, conn net.Conn, host string) error {
	config := c.TLS.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName = host
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			return errMute
		}
		return err
	}
	secure.SetReadDeadline(time.Now().Add(refuseTimeout))
	_, err := secure.Read(make([]byte, 1))
	if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" {
		return refusal{alert.Err}
	}
	return nil
}

// hello is how a connection of HTTP/2 begins: RFC 9113, section 3.4, with empty settings.
const hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// greet begins to speak without TLS, which a server that wants TLS answers with an alert
// or the end.
func greet(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(refuseTimeout))
	if _, err := io.WriteString(conn, hello); err != nil {
		return nil // whether it speaks TLS is not known
	}
	const alert = 21 // RFC 8446, section 5.1
	first := make([]byte, 1)
	_, err := conn.Read(first)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || err == nil && first[0] == alert {
		return errNotPlain
	}
	return nil
}

// Validate returns every mistake of the configuration.
func (c Config) Validate() error {
	if len(c.Endpoints) == 0 {
		return errors.New("no endpoint is given")
	}
	var errs []error
	for _, e := range c.Endpoints {
		if !isEndpoint(e) {
			errs = append(errs, fmt.Errorf("etcd's endpoint %q: want https://HOST:PORT, such as https://10.0.0.1:2379, or http://HOST:PORT for an etcd without TLS", e))
		}
	}
	if len(errs) == 0 && slices.ContainsFunc(c.Endpoints, secure) && slices.ContainsFunc(c.Endpoints, insecure) {
		errs = append(errs, fmt.Errorf("etcd's endpoints %s: want all of them with https://, or none", strings.Join(c.Endpoints, ", ")))
	}
	return errors.Join(errs...)
}

// Secure says whether the endpoints are reached by TLS. Those of a valid configuration are
// so all, or none is.
func (c Config) Secure() bool { return slices.ContainsFunc(c.Endpoints, secure) }

func secure(endpoint string) bool {
	return strings.HasPrefix(endpoint, "https://") || strings.HasPrefix(endpoint, "unixs://")
}

func insecure(endpoint string) bool { return !secure(endpoint) }

// isEndpoint says whether the library takes an endpoint for what its writer meant. It has
// an address for anything, but whoever tries that waits for ever.
func isEndpoint(e string) bool {
	u, err := url.Parse(e)
	switch {
	case err != nil:
		return false
	case isSocket(u):
		return u.Host == "" && u.Path != "" && e == u.Scheme+"://"+u.Path
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Port() == "":
		return false
	}
	_, err = net.LookupPort("tcp", u.Port())
	return err == nil && strings.TrimSuffix(e, "/") == u.Scheme+"://"+u.Host
}

// isSocket says whether a URL is that of a socket of this machine.
func isSocket(u *url.URL) bool { return u.Scheme == "unix" || u.Scheme == "unixs" }
