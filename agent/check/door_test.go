package check

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJudgeDoor(t *testing.T) {
	refused := os.NewSyscallError("connect", unix.ECONNREFUSED)
	prohibited := os.NewSyscallError("connect", unix.EHOSTUNREACH)
	for _, c := range []struct {
		what     string
		use      Use
		tcp, udp error
		at, want string // code, family, and words of what is wrong and how to mend it
	}{
		{"open", Gossip, nil, nil, "172.20.1.2:7946", ""},
		{"open", Census, nil, nil, "172.20.1.2:7947", ""},
		{"closed", Census, ErrSilent, nil, "172.20.2.1:7947", "census-closed IPv4 | TCP port 7947 is closed | let TCP to and from port 7947 pass between the nodes of all clusters"},
		{"rejected", Census, prohibited, nil, "[fd00::1]:7947", "census-closed IPv6 | TCP port 7947 is closed | let TCP to"},
		{"nobody there", Census, refused, nil, "172.20.2.1:7000", "no-listener IPv4 | nobody listens at TCP port 7000 | --probe-port 7000"},
		{"both closed", Gossip, ErrSilent, ErrSilent, "172.20.1.2:7946", "gossip-closed IPv4 | UDP and TCP port 7946 is closed | between the nodes of this cluster"},
		{"TCP closed", Gossip, ErrSilent, nil, "172.20.1.2:7946", "gossip-closed IPv4 | : TCP port 7946 is closed | let TCP to and from"},
		{"UDP closed", Gossip, nil, ErrSilent, "172.20.1.2:7946", "gossip-closed IPv4 | : UDP port 7946 is closed | same keys"},
		{"nobody there", Gossip, refused, ErrSilent, "172.20.1.2:7946", "no-listener IPv4 | nobody listens at TCP port 7946 | --gossip-port 7946"},
	} {
		d := Door{Cluster: "east", Node: "n2", At: netip.MustParseAddrPort(c.at), Use: c.use, TCP: c.tcp, UDP: c.udp}
		all := d.Judge()
		if c.want == "" || len(all) != 1 {
			if c.want != "" || len(all) != 0 {
				t.Errorf("%s: found %+v", c.what, all)
			}
			continue
		}
		parts := strings.Split(c.want, " | ")
		f := all[0]
		if f.Code+" "+f.Family != parts[0] || !strings.Contains(": "+f.Problem, parts[1]) || !strings.Contains(f.Mend, parts[2]) || f.Cluster != "east" || f.Node != "n2" || f.Level != "wrong" {
			t.Errorf("%s: found %+v, want %s", c.what, f, c.want)
		}
	}
}

func TestKnock(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		defer c.Close()
		b := make([]byte, 16)
		n, _ := c.Read(b)
		heard <- c.RemoteAddr().(*net.TCPAddr).IP.String() + " " + string(b[:n])
	}()
	from, at := netip.MustParseAddr("127.0.0.9"), l.Addr().(*net.TCPAddr).AddrPort()
	if err := Knock(t.Context(), from, at, []byte("it is me")); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "127.0.0.9 it is me" {
		t.Errorf("who listens heard %q", got)
	}
	l.Close()
	if err := Knock(t.Context(), from, at, nil); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
}

// A full queue answers no SYN, as a firewall that drops does not.
func TestKnockAtNobody(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	for range 4 {
		if err = Knock(t.Context(), at.Addr(), at, nil); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrSilent) {
		t.Errorf("a full queue: %v", err)
	}
}
