package disconnect

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Of struct inet_diag_req_v2 and struct inet_diag_msg (linux/inet_diag.h). Both
// name a socket by the same struct inet_diag_sockid, in which a socket's cookie is
// two words of the machine's order.
const (
	requestSize = 8 + sockidSize
	sockidAt    = 4 // in the message
	sockidSize  = 48
	cookieAt    = 40 // in the sockid
)

// allStates of TCP and UDP, by number (net/tcp_states.h); what is left out no
// connection is in: TIME_WAIT and LISTEN.
const allStates = 0xfff &^ (1<<6 | 1<<10)

// Of these: a TCP socket whose peer has ended (TCP_CLOSE_WAIT), and a UDP socket that
// is connected (TCP_ESTABLISHED).
const (
	closeWait = 8
	connected = 1
)

// protocols are those whose connections we lead.
var protocols = []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}

// request is a struct inet_diag_req_v2.
type request [requestSize]byte

// Len and Serialize make it nl.NetlinkRequestData.
func (r *request) Len() int          { return requestSize }
func (r *request) Serialize() []byte { return r[:] }

// found is a socket as the kernel names it.
type found struct {
	family, protocol, state uint8
	id                      [sockidSize]byte
}

func (f found) cookie() uint64 {
	low, high := binary.NativeEndian.Uint32(f.id[cookieAt:]), binary.NativeEndian.Uint32(f.id[cookieAt+4:])
	return uint64(high)<<32 | uint64(low)
}

// endable reports whether there is a connection to end. Who was told of the end in
// good order reads it when it comes to it, after what is left to be read; and a UDP
// socket whose connection was dissolved, or ended before, may serve something else.
func (f found) endable() bool {
	if f.protocol == unix.IPPROTO_UDP {
		return f.state == connected
	}
	return f.state != closeWait
}

// diag speaks sock_diag in one network namespace.
type diag struct{ socket *nl.NetlinkSocket }

// openDiag opens the sock_diag of a namespace.
func openDiag(ns netns.NsHandle) (*diag, error) {
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("opening sock_diag of a network namespace: %w", err)
	}
	return &diag{s}, nil
}

func (d *diag) close() { d.socket.Close() }

// netns returns the cookie of the namespace.
func (d *diag) netns() (uint64, error) {
	cookie, err := unix.GetsockoptUint64(d.socket.GetFd(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE) // Linux 5.14
	if err != nil {
		return 0, fmt.Errorf("asking for a network namespace's cookie: %w", err)
	}
	return cookie, nil
}

// sockets returns the connections of the namespace, of both protocols and families.
func (d *diag) sockets() ([]found, error) {
	var out []found
	for _, protocol := range protocols {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			r := request{family, protocol}
			binary.NativeEndian.PutUint32(r[4:], allStates)
			messages, err := d.execute(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, &r)
			if err != nil {
				return nil, fmt.Errorf("listing sockets: %w", err)
			}
			for _, m := range messages {
				if len(m) < sockidAt+sockidSize {
					return nil, fmt.Errorf("listing sockets: a message of %d bytes", len(m))
				}
				out = append(out, found{m[0], protocol, m[1], [sockidSize]byte(m[sockidAt:])})
			}
		}
	}
	return out, nil
}

// destroy ends a connection: whoever uses the socket is told ECONNABORTED. It
// returns false when the socket was gone already.
func (d *diag) destroy(f found) (bool, error) {
	r := request{f.family, f.protocol}
	binary.NativeEndian.PutUint32(r[4:], allStates)
	copy(r[8:], f.id[:])
	_, err := d.execute(unix.SOCK_DESTROY, unix.NLM_F_ACK, &r)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("destroying a socket: %w", err)
	}
	return true, nil
}

func (d *diag) execute(command, flags int, r *request) ([][]byte, error) {
	req := nl.NewNetlinkRequest(command, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_SOCK_DIAG: {Socket: d.socket}}
	req.AddData(r)
	return req.Execute(unix.NETLINK_SOCK_DIAG, 0)
}
