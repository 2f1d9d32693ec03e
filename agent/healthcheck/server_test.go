package healthcheck

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// status asks a port, and returns what it says, 0 for nothing.
func status(t *testing.T, at netip.AddrPort) int {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + at.String() + "/healthz")
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

func TestServer(t *testing.T) {
	log := &bytes.Buffer{}
	s := New("n1", nil, nil, slog.New(slog.NewTextHandler(log, nil)))
	now := time.Now()
	// A port of an address that nobody else in this test has: taken by another at first.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := other.Addr().(*net.TCPAddr).AddrPort()
	want := func(local int) map[netip.AddrPort]answer {
		return map[netip.AddrPort]answer{at: {Service: clustermesh.ServiceName{Namespace: "shop", Name: "web"}, Local: local, led: true}}
	}
	s.answers = want(1)
	s.settle(now)
	s.settle(now.Add(tryAgain))
	if n := strings.Count(log.String(), "left to that"); len(s.open) > 0 || n != 1 {
		t.Errorf("a port that is taken: %d are open, said %d times:\n%s", len(s.open), n, log)
	}
	other.Close()
	s.settle(now.Add(tryAgain))
	if len(s.open) > 0 {
		t.Error("it was tried again at once")
	}
	s.settle(now.Add(2 * tryAgain))
	if got := status(t, at); got != 200 {
		t.Errorf("with an endpoint: %d", got)
	}
	s.answers = want(0)
	s.settle(now)
	if got := status(t, at); got != 503 {
		t.Errorf("without an endpoint: %d", got)
	}
	s.answers = nil
	s.settle(now)
	if got := status(t, at); got != 0 || len(s.open)+len(s.taken) > 0 {
		t.Errorf("without the service: %d", got)
	}
}
