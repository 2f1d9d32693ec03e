package clustermesh

import (
	"net/netip"
	"testing"
)

// benchSlice is a slice of ten endpoints, as most are.
func benchSlice() *EndpointSlice {
	s := &EndpointSlice{Service: ServiceName{"shop", "cart"}, Name: "cart-x7k2p", Ports: []EndpointPort{{"http", TCP, 8080}}}
	for i := range 10 {
		s.Endpoints = append(s.Endpoints, Endpoint{
			Address: netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}), PodUID: "0b1d5f9e-7c0e-4b6a-9a52-0d1b6b3c1f2e",
			Node: "node-17.east.example", Zone: "eu-central-1a", Ready: true, Serving: true,
		})
	}
	return s
}

func BenchmarkEncodeSlice(b *testing.B) {
	s := benchSlice()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSlice(b *testing.B) {
	s := benchSlice()
	key := KeyOf(Export, s).String()
	value, err := Encode(s)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeAt(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
