package bpf

import "unsafe"

const (
	socketWays  = uint32(len(mapsSocketSet{}.Cookie))
	socketWords = uint32(unsafe.Sizeof(mapsSocket{}) / 8)
)
