package mirror

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

// authority signs the certificates of a test's clusters.
type authority struct {
	testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{TB: t, dir: t.TempDir()}
	a.key, a.cert = a.sign("ca", nil)
	return a
}

// sign makes NAME.crt and NAME.key; without an authority yet it makes one.
func (a *authority) sign(name string, address net.IP) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IsCA:        a.cert == nil, BasicConstraintsValid: true,
	}
	if address != nil {
		c.IPAddresses = []net.IP{address}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	a.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	a.must(err)
	a.write(name+".crt", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	parsed, err := x509.ParseCertificate(der)
	a.must(err)
	return key, parsed
}

func (a *authority) write(file, kind string, der []byte) {
	a.Helper()
	a.must(os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (a *authority) must(err error) {
	if a.Helper(); err != nil {
		a.Fatal(err)
	}
}

// files returns the files of a user, who is made if need be.
func (a *authority) files(user string) etcd.TLSFiles {
	if _, err := os.Stat(filepath.Join(a.dir, user+".crt")); err != nil {
		a.sign(user, net.IPv4(127, 0, 0, 1))
	}
	return etcd.TLSFiles{CA: filepath.Join(a.dir, "ca.crt"), Cert: filepath.Join(a.dir, user+".crt"), Key: filepath.Join(a.dir, user+".key")}
}

// store is one cluster's etcd, with a client that may do all.
type store struct {
	*authority
	config embedded.Config
	server *embedded.Server
	*etcd.Client
	epoch string
}

func newStore(a *authority) *store {
	a.Helper()
	s := &store{authority: a, config: embedded.Config{
		Dir: a.TempDir(), Listen: []string{"https://" + etcdtest.Address(a)}, TLS: a.files("server"),
		EpochKey: clustermesh.EpochKey, Users: embedded.Tombolo(clustermesh.Root),
	}}
	a.Cleanup(s.stop)
	s.start()
	conf, err := a.files("root").Client()
	a.must(err)
	s.Client, err = etcd.Dial(etcd.Config{Endpoints: s.config.Listen, TLS: conf})
	a.must(err)
	a.Cleanup(func() { s.Client.Close() })
	s.learn()
	return s
}

func (s *store) start() {
	s.Helper()
	var err error
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.server, err = embedded.Start(ctx, s.config, etcdtest.Log())
	s.must(err)
}

func (s *store) stop() {
	if s.server != nil {
		s.server.Stop()
		s.server = nil
	}
}

// empty makes it a new store at the same address.
func (s *store) empty() {
	s.Helper()
	s.stop()
	s.config.Dir = s.TempDir()
	s.start()
	s.learn()
}

// learn reads the store's epoch.
func (s *store) learn() {
	s.Helper()
	kv, ok, err := s.Get(s.Context(), clustermesh.EpochKey)
	if err != nil || !ok {
		s.Fatalf("reading the epoch: %v %v", ok, err)
	}
	s.epoch = string(kv.Value)
}

// address is where the store is served.
func (s *store) address() string { return strings.TrimPrefix(s.config.Listen[0], "https://") }

// export stores objects under export/, and then the markers of all tables.
func (s *store) export(objects ...clustermesh.Object) {
	s.Helper()
	for _, o := range objects {
		value, err := clustermesh.Encode(o)
		s.must(err)
		s.must(s.Put(s.Context(), clustermesh.KeyOf(clustermesh.Export, o).String(), value))
	}
	for _, kind := range clustermesh.Tables(clustermesh.Export) {
		s.mark(kind)
	}
}

func (s *store) mark(kind clustermesh.Kind) {
	s.Helper()
	value, err := clustermesh.Encode(&clustermesh.Synced{Source: "peer", Epoch: s.epoch})
	s.must(err)
	s.must(s.Put(s.Context(), exported+string(clustermesh.KindSynced)+"/"+string(kind), value))
}

// withdraw deletes what is stored under export/.
func (s *store) withdraw(keys ...string) {
	s.Helper()
	for _, k := range keys {
		s.must(s.Delete(s.Context(), exported+k))
	}
}

// rig is a cluster of ours that mirrors, and a reader of what it has.
type rig struct {
	*store
	*Mirrors
	view    *view.View
	batches chan view.Batch
	// end stops the mirrors; ended has what Run returned.
	end   func()
	ended chan error
}

var self = clustermesh.Cluster{Name: "east", ID: 1,
	PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, NodeCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}

func newRig(a *authority) *rig {
	a.Helper()
	r := &rig{store: newStore(a), view: view.New(""), batches: make(chan view.Batch)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- view.Watch(ctx, r.Client, etcdtest.Log(), r.batches) }()
	a.Cleanup(func() { cancel(); <-done })
	return r
}

// lead begins a term and mirrors peers in it.
func (r *rig) lead(peers ...*clustermesh.Peer) {
	r.Helper()
	leader, err := election.Campaign(r.Context(), r.Client, etcdtest.Log(), election.Config{
		Prefix: clustermesh.Root + "election/", Ledger: clustermesh.Root + "ledger/", Name: "test", TTL: time.Minute,
	})
	r.must(err)
	r.Mirrors = New(Config{Self: &self, Store: r.Client, Fence: leader.Fence, Epoch: r.epoch}, etcdtest.Log())
	r.Set(peers)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func(m *Mirrors) { ended <- m.Run(ctx) }(r.Mirrors)
	stopped := false
	r.ended = ended
	r.end = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-ended; !errors.Is(err, context.Canceled) {
				r.Errorf("the mirrors ended with %v", err)
			}
			leader.Resign()
		}
	}
	r.Cleanup(func() {
		if r.server != nil {
			r.end()
		}
	})
}

// until applies what the reader sees until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case b := <-r.batches:
			r.view.Apply(b)
		case <-deadline:
			r.Fatalf("%s: not so after a minute. Status: %+v", what, r.Status())
		}
	}
}

// phase waits until the mirror of a peer is in a phase for a reason.
func (r *rig) phase(peer string, phase clustermesh.MirrorPhase, reason string) {
	r.Helper()
	r.until(fmt.Sprintf("%s is %s (%s)", peer, phase, reason), func() bool {
		s := r.view.Mirror(peer)
		return s != nil && s.Phase == phase && strings.Contains(s.Reason, reason)
	})
}

// has waits until the reader has these endpoints of a peer: "service/slice=address".
func (r *rig) has(peer, want string) {
	r.Helper()
	r.until(peer+" has "+want, func() bool { return r.endpoints(peer) == want })
}

func (r *rig) endpoints(peer string) string {
	var out []string
	for name := range r.view.Services() {
		for _, e := range r.view.Service(name).Exports {
			for _, s := range e.Slices {
				if e.Cluster == peer {
					out = append(out, fmt.Sprintf("%s/%s=%s", name.Name, s.Name, s.Endpoints[0].Address))
				}
			}
		}
	}
	return strings.Join(sorted(out), " ")
}

// stored returns the keys of the mirrors as they are in the store, without the
// root, and the markers' epochs.
func (r *rig) stored() string {
	r.Helper()
	var out []string
	_, err := r.List(r.Context(), clustermesh.Root+"mirror/", func(kv etcd.KV) error {
		out = append(out, strings.TrimPrefix(kv.Key, clustermesh.Root+"mirror/"))
		return nil
	})
	r.must(err)
	return strings.Join(out, " ")
}

// state returns what the store says now of a mirror.
func (r *rig) state(peer string) *clustermesh.MirrorState {
	r.Helper()
	kv, _, err := r.Get(r.Context(), inMirror(peer, clustermesh.KindState, "").String())
	r.must(err)
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	r.must(err)
	return o.(*clustermesh.MirrorState)
}

// wire passes connections on to an address until it is cut.
type wire struct {
	testing.TB
	listener net.Listener
	to       string
	cut      chan struct{}
}

func newWire(t testing.TB, to string) *wire {
	t.Helper()
	w := &wire{TB: t, to: to}
	t.Cleanup(func() { w.sever() })
	w.mend("127.0.0.1:0")
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

// mend listens at an address.
func (w *wire) mend(address string) {
	w.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		w.Fatal(err)
	}
	w.listener, w.cut = l, make(chan struct{})
	go func(cut chan struct{}) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go carry(c, w.to, cut)
		}
	}(w.cut)
}

// sever closes every connection, and refuses new ones.
func (w *wire) sever() {
	if w.cut != nil {
		w.listener.Close()
		close(w.cut)
		w.cut = nil
	}
}

// carry copies between a connection and an address until either ends or cut is
// closed.
func carry(c net.Conn, to string, cut <-chan struct{}) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer d.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		go func() {
			io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	select {
	case <-ended:
	case <-cut:
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }
