package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var pod = Pod{Cluster: "east", Node: "east-1", Pod: "east-1-a"}

// responder serves on loopback and returns where, for TCP and UDP alike.
func responder(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	tcp, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(tcp.Addr().String())
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ServeOn(ctx, pod, tcp, udp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return at
}

func run(t *testing.T, l Load) []Sample {
	t.Helper()
	l.Timeout = 30 * time.Second
	var all []Sample
	if err := l.Run(context.Background(), func(s Sample) { all = append(all, s) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryModeAndFamily(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		at := responder(t, host)
		modes := []Mode{HTTP, UDP, UDPUnconnected, HTTPMapped, UDPMapped}
		if at.Addr().Is6() {
			modes = modes[:3]
		}
		for _, mode := range modes {
			all := run(t, Load{Target: at, Mode: mode, Count: 20, Parallel: 3})
			if len(all) != 20 {
				t.Errorf("%s %s: %d samples", host, mode, len(all))
			}
			for _, s := range all {
				if s.Error != "" || s.Answer.Pod != pod || s.Answer.Client.Addr() != at.Addr() || s.End.Before(s.Start) {
					t.Errorf("%s %s: %+v", host, mode, s)
				}
			}
		}
	}
}

func TestUnconnectedKeepsItsSocket(t *testing.T) {
	ports := func(mode Mode) map[uint16]bool {
		out := map[uint16]bool{}
		for _, s := range run(t, Load{Target: responder(t, "127.0.0.1"), Mode: mode, Count: 10}) {
			out[s.Answer.Client.Port()] = true
		}
		return out
	}
	if got := ports(UDPUnconnected); len(got) != 1 {
		t.Errorf("unconnected: asked from %d ports", len(got))
	}
	if got := ports(UDP); len(got) < 2 {
		t.Errorf("connected: asked from %d ports", len(got))
	}
}

func TestFailures(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	for _, mode := range []Mode{HTTP, UDP} {
		for _, s := range run(t, Load{Target: gone, Mode: mode, Count: 3}) {
			if s.Error != "refused" {
				t.Errorf("%s: %q, want refused", mode, s.Error)
			}
		}
	}
	if err := (Load{Target: gone, Mode: "icmp"}).Run(t.Context(), nil); err == nil {
		t.Error("took a mode that is none")
	}
}

// A responder that accepts and says nothing is a timeout, not a hang.
func TestTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all []Sample
	load := Load{Target: netip.MustParseAddrPort(l.Addr().String()), Mode: HTTP, Count: 1, Timeout: 50 * time.Millisecond}
	if err := load.Run(t.Context(), func(s Sample) { all = append(all, s) }); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Error != "timeout" {
		t.Errorf("got %+v", all)
	}
}

// A listener whose queue is full drops the first packet; the kernel's next one gets
// through. Who wants connections at once takes that for a failure.
func TestLost(t *testing.T) {
	for atOnce, want := range map[bool]string{true: "lost", false: ""} {
		at, free := full(t)
		go func() {
			awaitSYN(t, at.Port())
			free()
		}()
		var all []Sample
		load := Load{Target: at, Mode: HTTP, Count: 1, Timeout: time.Minute, AtOnce: atOnce}
		if err := load.Run(t.Context(), func(s Sample) { all = append(all, s) }); err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 || all[0].Error != want {
			t.Errorf("at once %v: %+v, want the error %q", atOnce, all, want)
		}
	}
}

func TestWasLost(t *testing.T) {
	for _, c := range []struct {
		tries uint32
		took  time.Duration
		want  bool
	}{{0, time.Millisecond, false}, {0, 3 * time.Second, false}, {1, 5 * time.Millisecond, false}, {1, 1001 * time.Millisecond, true}, {2, 3 * time.Second, true}} {
		if got := wasLost(c.tries, c.took); got != c.want {
			t.Errorf("%d tries in %v: %v, want %v", c.tries, c.took, got, c.want)
		}
	}
}

// full listens on loopback with a queue that is full, until free has a responder serve
// those who wait in it.
func full(t *testing.T) (at netip.AddrPort, free func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "full")
	defer f.Close() // FileListener has one of its own
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	waits, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		waits.Close()
	})
	return netip.MustParseAddrPort(tcp.Addr().String()), func() {
		serving.Go(func() {
			if err := ServeOn(ctx, pod, tcp, udp); err != nil {
				t.Errorf("serving: %v", err)
			}
		})
	}
}

// awaitSYN returns when a connection to a port of loopback has sent its first packet,
// and has no answer.
func awaitSYN(t *testing.T, port uint16) {
	sent := fmt.Sprintf(" 0100007F:%04X 02 ", port)
	for t.Context().Err() == nil {
		if raw, err := os.ReadFile("/proc/net/tcp"); err != nil || strings.Contains(string(raw), sent) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A run without a count ends with its context, and what that cut off is no failure.
func TestRunEndsWithItsContext(t *testing.T) {
	at := responder(t, "127.0.0.1")
	for _, mode := range []Mode{HTTP, UDP, UDPUnconnected} {
		ctx, cancel := context.WithCancel(t.Context())
		n, failed := 0, 0
		load := Load{Target: at, Mode: mode, Parallel: 4, Timeout: 30 * time.Second, Interval: 100 * time.Microsecond}
		err := load.Run(ctx, func(s Sample) {
			if n++; n == 50 {
				cancel()
			}
			if s.Error != "" {
				failed++
			}
		})
		if err != nil || n < 50 || failed > 0 {
			t.Errorf("%s: %d samples, %d failed, %v", mode, n, failed, err)
		}
	}
}

// An answer that comes from elsewhere than was asked is a failure: the sender
// would not have been able to tell that it is one.
func TestAnswerFromElsewhere(t *testing.T) {
	asked, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		buf := make([]byte, maxDatagram)
		n, from, err := asked.ReadFromUDPAddrPort(buf)
		if err == nil {
			other.WriteToUDPAddrPort(Answer{Pod: pod, Client: from, Payload: string(buf[:n])}.line(), from)
		}
	}()
	all := run(t, Load{Target: netip.MustParseAddrPort(asked.LocalAddr().String()), Mode: UDPUnconnected, Count: 1})
	if !strings.Contains(all[0].Error, "the answer came from "+other.LocalAddr().String()) {
		t.Errorf("got %+v", all)
	}
}

func TestPassesOverLateAnswers(t *testing.T) {
	late, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	var asked atomic.Int32
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := late.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if asked.Add(1) == 2 { // the first is answered after it gave up
				late.WriteToUDPAddrPort(Answer{Pod: pod, Payload: "1"}.line(), from)
				late.WriteToUDPAddrPort(Answer{Pod: pod, Payload: string(buf[:n])}.line(), from)
			}
		}
	}()
	var all []Sample
	load := Load{Target: netip.MustParseAddrPort(late.LocalAddr().String()), Mode: UDPUnconnected, Count: 2, Timeout: 2 * time.Second}
	if err := load.Run(t.Context(), func(s Sample) { all = append(all, s) }); err != nil {
		t.Fatal(err)
	}
	if all[0].Error != "timeout" || all[1].Error != "" || all[1].Answer.Payload != "2" {
		t.Errorf("got %+v", all)
	}
}

func TestWords(t *testing.T) {
	for err, want := range map[error]string{
		&net.OpError{Err: syscall.ECONNREFUSED}:       "refused",
		syscall.ECONNRESET:                            "reset",
		io.ErrUnexpectedEOF:                           "reset",
		fmt.Errorf("x: %w", syscall.EHOSTUNREACH):     "unreachable",
		syscall.ENETUNREACH:                           "unreachable",
		syscall.EPERM:                                 "denied",
		context.DeadlineExceeded:                      "timeout",
		errors.New("asked a, the answer came from b"): "asked a, the answer came from b",
	} {
		if got := word(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestParseHTTP(t *testing.T) {
	for raw, want := range map[string]string{
		"": "unexpected EOF",
		"HTTP/1.0 503 Service Unavailable\r\n\r\n":            "status 503",
		"HTTP/1.0 200 OK\r\n\r\nhello":                        "reading the answer",
		"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello":   "unexpected EOF",
		"HTTP/1.0 200 OK\r\n\r\n{\"payload\":\"of another\"}": `answer to "of another"`,
		"no response at all":                                  "reading the response",
	} {
		if _, err := parseHTTP([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", raw, err, want)
		}
	}
}

func TestSummarize(t *testing.T) {
	start := time.Unix(100, 0)
	sample := func(ms int, cluster, pod, failure string) Sample {
		return Sample{Start: start, End: start.Add(time.Duration(ms) * time.Millisecond),
			Answer: Answer{Pod: Pod{Cluster: cluster, Pod: pod}}, Error: failure}
	}
	r := Summarize([]Sample{sample(1, "east", "a", ""), sample(3, "west", "b", ""), sample(2, "west", "c", ""),
		sample(9, "", "", "refused"), sample(9, "", "", "timeout"), sample(9, "", "", "timeout")})
	got := fmt.Sprintln(r.Requests, r.Failed, r.Errors, r.Pods, r.Clusters, r.Median, r.P99, r.Max, r.Share("west"))
	want := fmt.Sprintln(6, 3, "map[refused:1 timeout:2]", "map[a:1 b:1 c:1]", "map[east:1 west:2]", "2ms", "3ms", "3ms", 2.0/3)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if none := Summarize(nil); none.Share("west") != 0 || none.Median != 0 {
		t.Errorf("of nothing: %+v", none)
	}
}
