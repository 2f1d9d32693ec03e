package bpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Scope is who looks a frontend up.
type Scope uint8

// The scopes.
const (
	// ScopeSocket is asked for sockets of this node.
	ScopeSocket = Scope(mapsScopeSCOPE_SOCKET)
	// ScopePacket is asked for packets from elsewhere.
	ScopePacket = Scope(mapsScopeSCOPE_PACKET)
	// ScopeTunnel is asked for packets that another node sent here in a tunnel.
	ScopeTunnel = Scope(mapsScopeSCOPE_TUNNEL)
)

// Frontend is where clients reach a service.
type Frontend struct {
	Address netip.AddrPort
	// Protocol is the IANA number.
	Protocol uint8
	Scope    Scope
}

// String returns address:port/protocol, and the scope when it is not a socket's.
func (f Frontend) String() string {
	s := fmt.Sprintf("%s/%d", f.Address, f.Protocol)
	switch f.Scope {
	case ScopePacket:
		s += " from outside"
	case ScopeTunnel:
		s += " from other nodes"
	}
	return s
}

func (f Frontend) key() mapsFrontendKey {
	k := mapsFrontendKey{Port: networkOrder(f.Address.Port()), Protocol: f.Protocol, Scope: uint8(f.Scope)}
	k.Address.Word = words(f.Address.Addr())
	return k
}

func frontendOf(k mapsFrontendKey) Frontend {
	return Frontend{
		Address:  netip.AddrPortFrom(addr(k.Address.Word), networkOrder(k.Port)),
		Protocol: k.Protocol,
		Scope:    Scope(k.Scope),
	}
}

// Frontends is the map from frontends to numbers of services. It has one
// writer, and is not safe for concurrent use.
//
// The kernel gives the memory of a removed or replaced entry to the next one at
// once, under a reader that has just found it. So a grace period passes between
// a removal and the next insertion, here, and callers remove in bulk.
type Frontends struct {
	m *ebpf.Map
	// grace waits for one; freed says that memory became free since the last.
	grace func() error
	freed bool
}

// Put makes each frontend lead to its service. It stops at the first error;
// what was put before stays.
func (f *Frontends) Put(services map[Frontend]uint32) error {
	for fe, service := range services {
		if err := f.put(fe, service); err != nil {
			return fmt.Errorf("putting frontend %s: %w", fe, err)
		}
	}
	return nil
}

func (f *Frontends) put(fe Frontend, service uint32) error {
	key := fe.key()
	value := mapsFrontend{Key: key, Service: service}
	var old mapsFrontend
	err := f.m.Lookup(&key, &old)
	switch {
	case err == nil && old == value:
		return nil
	case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
		return err
	}
	if f.freed {
		if err := f.grace(); err != nil {
			return err
		}
		f.freed = false
	}
	// A replaced entry's memory becomes free, too.
	f.freed = err == nil
	return f.m.Put(&key, &value)
}

// Settled says that the caller has itself waited for a grace period since the
// last removal or replacement, so that Put need not.
func (f *Frontends) Settled() { f.freed = false }

// Delete removes frontends; one that is not there is no error.
func (f *Frontends) Delete(frontends ...Frontend) error {
	for _, fe := range frontends {
		key := fe.key()
		err := f.m.Delete(&key)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		f.freed = true
		if err != nil {
			return fmt.Errorf("removing frontend %s: %w", fe, err)
		}
	}
	return nil
}

// All returns every frontend and its service.
func (f *Frontends) All() (map[Frontend]uint32, error) {
	all := make(map[Frontend]uint32)
	var key mapsFrontendKey
	var value mapsFrontend
	entries := f.m.Iterate()
	for entries.Next(&key, &value) {
		all[frontendOf(key)] = value.Service
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("reading the frontends: %w", err)
	}
	return all, nil
}

// service returns which service a frontend leads to, 0 for none.
func (f *Frontends) service(fe Frontend) (uint32, error) {
	key, value := fe.key(), mapsFrontend{}
	err := f.m.Lookup(&key, &value)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking frontend %s up: %w", fe, err)
	}
	return value.Service, nil
}

// Cap returns how many frontends there is room for.
func (f *Frontends) Cap() uint32 { return f.m.MaxEntries() }
