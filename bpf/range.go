package bpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Guard says whom a service keeps out; the zero value is nobody.
type Guard struct {
	// Packets from outside come from the service's Ranges alone.
	Packets bool
	// Pods and Node: sockets of the node's pods, and those of the node itself, are
	// refused.
	Pods, Node bool
}

// Range is from where clients may come to a guarded service.
type Range struct {
	Service uint32
	// Prefix has no bits set behind its length.
	Prefix netip.Prefix
}

// String returns the prefix and the service.
func (r Range) String() string { return fmt.Sprintf("%v of service %d", r.Prefix, r.Service) }

// What of a key comes before the bits of a prefix: service and family, and of IPv4 what
// maps it into IPv6.
const headBits, mappedBits = 64, 96

func (r Range) key() mapsRangeKey {
	k := mapsRangeKey{Bits: headBits + uint32(r.Prefix.Bits()), Service: r.Service, Family: unix.AF_INET6}
	if r.Prefix.Addr().Is4() {
		k.Bits, k.Family = k.Bits+mappedBits, unix.AF_INET
	}
	k.Address.Word = words(r.Prefix.Addr())
	return k
}

func rangeOf(k mapsRangeKey) Range {
	bits := int(k.Bits) - headBits
	if k.Family == unix.AF_INET {
		bits -= mappedBits
	}
	return Range{k.Service, netip.PrefixFrom(addr(k.Address.Word), bits)}
}

// Ranges is the map of them. It has one writer, and is not safe for concurrent use.
type Ranges struct{ m *ebpf.Map }

// ErrNoRoom says that a map is full.
var ErrNoRoom = errors.New("the map is full")

// Put lets clients of a range come to its service; ErrNoRoom when the map is full.
func (r *Ranges) Put(one Range) error {
	key, value := one.key(), mapsRange{Service: one.Service}
	err := r.m.Put(&key, &value)
	if errors.Is(err, unix.ENOSPC) {
		err = errors.Join(ErrNoRoom, err)
	}
	if err != nil {
		return fmt.Errorf("letting in %v: %w", one, err)
	}
	return nil
}

// Delete removes a range; one that is not there is no error.
func (r *Ranges) Delete(one Range) error {
	key := one.key()
	if err := r.m.Delete(&key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("letting in no more %v: %w", one, err)
	}
	return nil
}

// All returns every range.
func (r *Ranges) All() ([]Range, error) {
	var all []Range
	var key mapsRangeKey
	var value mapsRange
	entries := r.m.Iterate()
	for entries.Next(&key, &value) {
		all = append(all, rangeOf(key))
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("reading the ranges: %w", err)
	}
	return all, nil
}

// has says whether an address is in a range of a service.
func (r *Ranges) has(service uint32, a netip.Addr) (bool, error) {
	key, value := Range{service, netip.PrefixFrom(a, a.BitLen())}.key(), mapsRange{}
	err := r.m.Lookup(&key, &value)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking %v up in the ranges: %w", a, err)
	}
	return value.Service == service, nil
}

// Cap returns how many ranges there is room for.
func (r *Ranges) Cap() uint32 { return r.m.MaxEntries() }
