//go:build vm

package bpf

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/bpf/bpftest"
)

// bad is a line on which TCP sends most things again, and in another order.
var bad = bpftest.Weather{Loss: 5, Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond}

// Connections get through frames that are lost, late and in disorder, each by one flow
// with one backend: nothing is reset, and nothing dropped that was not lost.
func TestPacketTrafficInBadWeather(t *testing.T) {
	c := newCity(t, PacketsConfig{})
	c.ns.Impair(t, "eth0", bad)
	c.router.Impair(t, "eth0", bad)
	connections := uint64(0)
	for _, f := range families {
		echoes(t, c.local, netip.AddrPortFrom(f.local, pod))
		echoes(t, c.remote, netip.AddrPortFrom(f.remote, pod))
		for _, port := range []uint16{here, elsewhere} {
			for _, size := range []int{1, 20_000, 60_000} {
				conn := c.perseveres(t, netip.AddrPortFrom(f.service, port))
				says(t, conn, bytes.Repeat([]byte("x"), size))
				conn.Close()
				connections++
			}
		}
	}
	n := c.counts(t)
	if n.Begun != connections || n.Moved+n.Reset+n.Refused > 0 {
		t.Errorf("%d connections: %+v", connections, n)
	}
	for why, times := range n.Dropped {
		if times > 0 {
			t.Errorf("dropped, %s: %d", why, times)
		}
	}
}

// perseveres connects for as long as five SYNs in a row may be lost, which happens to one
// of a hundred thousand connections here.
func (c *city) perseveres(t *testing.T, to netip.AddrPort) net.Conn {
	t.Helper()
	const long = 100 * time.Second // the sixth is sent after 31 s
	var conn net.Conn
	err := c.client.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: long, FallbackDelay: -1}).Dial("tcp", to.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(long))
	return conn
}
