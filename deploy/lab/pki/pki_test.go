package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func issue(t *testing.T, cluster string) Dir {
	t.Helper()
	d := Dir(filepath.Join(t.TempDir(), cluster))
	addresses := []netip.Addr{netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("fd00:20:1::1")}
	if err := Issue(d, cluster, addresses); err != nil {
		t.Fatal(err)
	}
	return d
}

func pool(t *testing.T, d Dir) *x509.CertPool {
	t.Helper()
	raw, err := os.ReadFile(d.CA())
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(raw) {
		t.Fatal("the authority's certificate is none")
	}
	return p
}

// handshake connects as a user, with a certificate of one cluster, to the etcd
// of another, and returns the name that etcd sees.
func handshake(t *testing.T, server, client Dir, user, address string) (string, error) {
	t.Helper()
	serverCert, err := tls.LoadX509KeyPair(server.ServerCert(), server.ServerKey())
	if err != nil {
		t.Fatal(err)
	}
	clientCert, err := tls.LoadX509KeyPair(client.Cert(user), client.Key(user))
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	deadline := time.Now().Add(10 * time.Second)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	s := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: pool(t, server), ClientAuth: tls.RequireAndVerifyClientCert})
	c := tls.Client(far, &tls.Config{Certificates: []tls.Certificate{clientCert}, RootCAs: pool(t, server), ServerName: address})
	failed := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(c) // shakes hands, and hears the server's refusal
		far.Close()
		failed <- err
	}()
	err = s.Handshake()
	name := ""
	if err == nil {
		name = s.ConnectionState().PeerCertificates[0].Subject.CommonName
		s.Close()
	}
	near.Close()
	return name, errors.Join(err, <-failed)
}

func TestUsersAreKnownByTheirNames(t *testing.T) {
	d := issue(t, "east")
	for _, user := range []string{Root, Node, Peer} {
		for _, address := range []string{"172.20.1.1", "fd00:20:1::1"} {
			if got, err := handshake(t, d, d, user, address); err != nil || got != user {
				t.Errorf("%s at %s is seen as %q, %v", user, address, got, err)
			}
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	east, west := issue(t, "east"), issue(t, "west")
	if who, err := handshake(t, east, west, Root, "172.20.1.1"); err == nil {
		t.Errorf("a certificate of another cluster is let in as %q", who)
	}
	if _, err := handshake(t, east, east, Root, "172.20.1.9"); err == nil {
		t.Error("etcd's certificate holds for an address that is not its own")
	}
}

func TestKeysArePrivate(t *testing.T) {
	d := issue(t, "east")
	entries, err := os.ReadDir(string(d))
	if err != nil || len(entries) != 9 { // the authority's certificate, and two files for each of four
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if st, err := e.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), st.Mode(), err)
		}
	}
}
