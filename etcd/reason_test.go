package etcd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestExplain holds what people read of a store that they cannot use: which endpoint,
// why, and what mends it.
func TestExplain(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 2379}, Err: err}
	}
	errno := func(e syscall.Errno) error { return dial(os.NewSyscallError("connect", e)) }
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	expired := x509.CertificateInvalidError{Cert: &x509.Certificate{NotBefore: day, NotAfter: day.AddDate(1, 0, 0)}, Reason: x509.Expired, Detail: "current time " + time.Now().String()}
	eof := status.Error(codes.Unavailable, "error reading from server: EOF")
	for _, c := range []struct {
		name string
		errs []error // of a, b, ...; nil where the endpoint can be reached
		err  error
		want string
	}{
		{"refused", []error{errno(syscall.ECONNREFUSED)}, eof, "etcd at a: connection refused (does it run there, at that port?)"},
		{"no route", []error{errno(syscall.EHOSTUNREACH)}, eof, "etcd at a: no route to host (is there a route, and no firewall?)"},
		{"silent network", []error{errUnheard}, eof, "etcd at a: no answer within 2s (is the address right? does a firewall drop packets?)"},
		{"no such name", []error{dial(&net.DNSError{Err: "no such host", Name: "x", Server: "127.0.0.1:53", IsNotFound: true})}, eof, "etcd at a: the name x is not known (mend the endpoint, or the DNS)"},
		{"dead DNS", []error{dial(&net.DNSError{Err: "server misbehaving", Name: "x", Server: "127.0.0.1:53"})}, eof, "etcd at a: the name x cannot be looked up: server misbehaving (does the DNS answer?)"},
		{"expired", []error{fmt.Errorf("tls: %w", expired)}, eof, "etcd at a: its certificate is good from 2026-01-02T03:04:05Z to 2027-01-02T03:04:05Z, and not now (renew it, or set the clocks)"},
		{"reset", []error{errors.New("read tcp 10.0.0.1:4321->10.0.0.2:2379: it broke")}, eof, "etcd at a: read tcp 10.0.0.1->10.0.0.2:2379: it broke"},
		{"one of three", []error{nil, errno(syscall.ECONNREFUSED), nil}, eof, "etcd at a, c: it takes connections; etcd at b: connection refused (does it run there, at that port?)"},
		{"without a majority", []error{nil, errUnheard, errUnheard}, context.DeadlineExceeded,
			"etcd at a: it takes connections and does not answer (have most of its members died?); etcd at b, c: no answer within 2s (is the address right? does a firewall drop packets?)"},
		{"many", []error{errUnheard, errUnheard, errUnheard, errUnheard, errUnheard}, eof, "etcd at a, b, c and 2 more: no answer within 2s (is the address right? does a firewall drop packets?)"},
		{"connection lost", []error{nil}, eof, "etcd at a: rpc error: code = Unavailable desc = error reading from server: EOF"},
		{"no answer", []error{nil}, fmt.Errorf("watching x: %w", errNoAnswer), "etcd at a: it takes connections and does not answer (have most of its members died?)"},
		{"no rights", []error{nil}, fmt.Errorf("listing x: %w", status.Error(codes.PermissionDenied, "denied")),
			"etcd at a: listing x: rpc error: code = PermissionDenied desc = denied (the common name of our certificate is our user there, who lacks the rights: see tombolo store users)"},
	} {
		endpoints := strings.Split("a b c d e", " ")[:len(c.errs)]
		got := explain(endpoints, c.errs, c.err)
		if got.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, got, c.want)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%s: the error itself is lost", c.name)
		}
	}
}

// TestEndpoints holds that what is no endpoint is refused before anybody waits for it.
func TestEndpoints(t *testing.T) {
	for endpoints, want := range map[string]string{
		"https://10.0.0.1:2379":                       "",
		"https://[fd00::1]:2379 https://etcd.x:2379/": "",
		"http://127.0.0.1:2379":                       "",
		"unix:///run/etcd.sock":                       "",
		"unix:":                                       "want https://HOST:PORT",
		"":                                            "no endpoint is given",
		"foo":                                         `etcd's endpoint "foo": want https://HOST:PORT`,
		"10.0.0.1:2379":                               "want https://HOST:PORT",
		"localhost:2379":                              "want https://HOST:PORT",
		"https://10.0.0.1":                            "want https://HOST:PORT",
		"https://:2379":                               "want https://HOST:PORT",
		"https://10.0.0.1:70000":                      "want https://HOST:PORT",
		"https://10.0.0.1:2379/x":                     "want https://HOST:PORT",
		"https://u:p@10.0.0.1:2379":                   "want https://HOST:PORT",
		"htps://10.0.0.1:2379":                        "want https://HOST:PORT",
		"https://10.0.0.1:2379 bar":                   `"bar"`,
		"https://10.0.0.1:2379 http://10.0.0.2:2379": "all of them with https://, or none",
	} {
		err := Config{Endpoints: strings.Fields(endpoints)}.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", endpoints, err, want)
		}
	}
}
