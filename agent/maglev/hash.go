package maglev

import (
	"encoding/binary"
	"math/bits"
)

// The constants of the hash, odd and without pattern: the first digits of the
// fractional parts of the square roots of 2 (made odd), 3, 5 and 7. They are part
// of what every node must agree on and never change.
const (
	saltHigh   = 0x6a09e667f3bcc909
	saltLow    = 0xbb67ae8584caa73b
	streamNext = 0x3c6ef372fe94f82b
	streamStep = 0xa54ff53a5f1d36f1
)

// mix folds the 128-bit product of its operands, which depends on every bit of
// both, into 64 bits.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^saltHigh, b^saltLow)
	return high ^ low
}

// seedOf returns the number from which a backend's permutation and order come.
// An IPv4 address counts in its IPv6-mapped form.
func seedOf(b Backend) uint64 {
	a := b.Address.Addr().As16()
	who := uint64(b.Cluster)<<16 | uint64(b.Address.Port())
	h := mix(binary.BigEndian.Uint64(a[:8]), who)
	return mix(mix(h, binary.BigEndian.Uint64(a[8:])), who+streamNext)
}

// reduce maps a hash evenly to [0, n).
func reduce(h uint64, n uint32) uint32 {
	high, _ := bits.Mul64(h, uint64(n))
	return uint32(high)
}
