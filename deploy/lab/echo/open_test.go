package echo

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// runFor runs a load for a while and returns what became of its connections.
func runFor(t *testing.T, o Open, d time.Duration) (short, long []Connection) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(d, cancel).Stop()
	o.Run(ctx, func(c Connection) {
		if c.Long {
			long = append(long, c)
		} else {
			short = append(short, c)
		}
	})
	return short, long
}

func TestOpenLoad(t *testing.T) {
	o := Open{Target: responder(t, "127.0.0.1"), Rate: 50, Hold: 5, Beat: 10 * time.Millisecond, Timeout: 30 * time.Second}
	short, long := runFor(t, o, 3*time.Second)
	if len(short) < 75 || len(short) > 150 { // a slow machine may cut off the last ones
		t.Errorf("%d new connections in three seconds, want about 150", len(short))
	}
	for _, c := range short {
		if c.Error != "" || c.Pod != pod || c.End.Before(c.Start) {
			t.Fatalf("%+v", c)
		}
	}
	if len(long) != 5 {
		t.Errorf("%d long connections, want 5", len(long))
	}
	for _, c := range long {
		if c.Error != "" || c.Pod != pod || c.Last.Sub(c.Start) < 500*time.Millisecond {
			t.Errorf("%+v", c)
		}
	}
}

// Connections begin at their rate while those before get no answer.
func TestOpenLoadDoesNotWait(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	at := netip.MustParseAddrPort(deaf.Addr().String())
	short, _ := runFor(t, Open{Target: at, Rate: 50, Timeout: 100 * time.Millisecond}, 3*time.Second)
	if len(short) < 75 { // one after the other they were 30
		t.Errorf("%d connections have failed", len(short))
	}
	for _, c := range short {
		if c.Error != "timeout" {
			t.Fatalf("%+v", c)
		}
	}
}

// A long connection that breaks says when, and who answered it; another takes
// its place.
func TestLongConnectionsBreak(t *testing.T) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	back := responder(t, "127.0.0.1")
	go func() { // passes one exchange on, and resets
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			relayOnce(c, back)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var long []Connection
	Open{Target: netip.MustParseAddrPort(front.Addr().String()), Hold: 1, Beat: time.Millisecond, Timeout: time.Minute}.Run(ctx, func(c Connection) {
		if long = append(long, c); len(long) == 2 {
			cancel()
		}
	})
	if len(long) < 2 {
		t.Fatalf("%d connections", len(long))
	}
	if c := long[0]; c.Error != "reset" || c.Pod != pod || c.Last.IsZero() || c.End.Before(c.Last) {
		t.Errorf("%+v", c)
	}
}

func relayOnce(c net.Conn, to netip.AddrPort) {
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0)
	up, err := net.Dial("tcp", to.String())
	if err != nil {
		return
	}
	defer up.Close()
	buf := make([]byte, 4096)
	n, _ := c.Read(buf)
	up.Write(buf[:n])
	n, _ = up.Read(buf)
	c.Write(buf[:n])
	c.Read(buf) // the next request
}
