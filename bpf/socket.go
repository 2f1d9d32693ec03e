package bpf

import (
	"iter"
	"net/netip"
	"sync/atomic"
	"unsafe"
)

const (
	socketWays  = uint32(len(mapsSocketSet{}.Cookie))
	socketWords = uint32(unsafe.Sizeof(mapsSocket{}) / 8)
	// socketBusy is SOCKET_BUSY of include/socket.h.
	socketBusy = 1 << 63
)

// Socket is a socket that connect() led to a backend.
type Socket struct {
	// Cookie is the socket's, Netns that of its network namespace.
	Cookie, Netns     uint64
	Frontend, Backend netip.AddrPort
	// Service and Number are those of the service and the backend when it was
	// connected. The number is another's if its generation is another by now.
	Service, Number, Generation uint32
}

// Sockets are the connected sockets. All that its methods return is as it is then:
// one that is being connected or closed meanwhile may be missing, and from All one may
// come twice. Any goroutine may call them.
type Sockets struct {
	sets, places memory
	spill        *spill
}

// Placed yields those that have a place in the maps.
func (s *Sockets) Placed() iter.Seq[Socket] {
	return func(yield func(Socket) bool) {
		for place := range uint32(len(s.sets.words)) {
			cookie := s.sets.load(place)
			if cookie == 0 || cookie&socketBusy != 0 {
				continue
			}
			socket := s.read(place)
			if s.sets.load(place) != cookie {
				continue // it was closed or connected anew while we read
			}
			if socket.Cookie = cookie; !yield(socket) {
				return
			}
		}
	}
}

// All yields those, and those that found no room in the maps: of them not who was
// closed or whose connection was ended, for the kernel forgets a socket only with the
// socket. With an error it yields those that could be read.
func (s *Sockets) All() (iter.Seq[Socket], error) {
	spilled, err := s.spill.read()
	return func(yield func(Socket) bool) {
		for socket := range s.Placed() {
			if !yield(socket) {
				return
			}
		}
		for _, socket := range spilled {
			// One that was connected again may have a place by now, and in its
			// storage what it was connected to before.
			if !s.placed(socket.Cookie) && !yield(socket) {
				return
			}
		}
	}, err
}

func (s *Sockets) read(place uint32) Socket {
	var c mapsSocket
	raw := (*[socketWords]uint64)(unsafe.Pointer(&c))
	for i := range raw {
		raw[i] = s.places.load(place*socketWords + uint32(i))
	}
	return socketOf(c)
}

// socketOf translates a socket, but for its cookie.
func socketOf(c mapsSocket) Socket {
	return Socket{
		Netns:      c.Netns,
		Frontend:   netip.AddrPortFrom(addr(c.Flow.Frontend.Word), networkOrder(c.Flow.FrontendPort)),
		Backend:    netip.AddrPortFrom(addr(c.Flow.Backend.Word), networkOrder(c.Flow.BackendPort)),
		Service:    c.Flow.Service,
		Number:     uint32(c.Flow.Reference),
		Generation: uint32(c.Flow.Reference >> 32),
	}
}

// Forget frees the place of a socket that is gone without the kernel's telling,
// as those are that the kernel made itself (MPTCP's subflows).
func (s *Sockets) Forget(cookie uint64) {
	for place := range s.set(cookie) {
		if atomic.CompareAndSwapUint64(&s.sets.words[place], cookie, 0) {
			return
		}
	}
}

// placed says whether a socket has a place, or is getting one.
func (s *Sockets) placed(cookie uint64) bool {
	for place := range s.set(cookie) {
		if s.sets.load(place)&^socketBusy == cookie {
			return true
		}
	}
	return false
}

// set yields the places where a cookie may lie.
func (s *Sockets) set(cookie uint64) iter.Seq[uint32] {
	first := uint32(cookie) & (uint32(len(s.sets.words))/socketWays - 1) * socketWays
	return func(yield func(uint32) bool) {
		for place := first; place < first+socketWays && yield(place); place++ {
		}
	}
}
