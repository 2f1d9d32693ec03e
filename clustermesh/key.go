package clustermesh

import (
	"fmt"
	"strings"
)

// Root is the prefix of every key in etcd; its last part is the layout's version.
const Root = "tombolo/v1/"

// EpochKey holds a random string that is rewritten when the store is created
// or restored.
const EpochKey = Root + "epoch"

// Area is who may read a part of the store.
type Area string

// The areas.
const (
	Export  Area = "export"  // what this cluster shares; peers read it
	Private Area = "private" // the same shapes, not shared
	Mirror  Area = "mirror"  // the export of a peer, validated
	Status  Area = "status"  // leased reports of processes
)

// Kind is the table that a key belongs to, as it is written in the key.
type Kind string

// The kinds. KindCluster and KindState are single keys, not tables.
const (
	KindCluster    Kind = "cluster"
	KindState      Kind = "state"
	KindNodes      Kind = "nodes"
	KindServices   Kind = "services"
	KindSlices     Kind = "slices"
	KindIdentities Kind = "identities"
	KindEndpoints  Kind = "endpoints"
	KindDrains     Kind = "drains"
	KindSynced     Kind = "synced"
	KindPeers      Kind = "peers"
	KindBGPPeers   Kind = "bgp/peers"
	KindBGPAdverts Kind = "bgp/advertisements"
	KindProcess    Kind = "process"
)

// parts is the number of names that follow a kind in a key.
var parts = map[Kind]int{
	KindCluster: 0, KindState: 0,
	KindNodes: 1, KindServices: 2, KindSlices: 3,
	KindIdentities: 1, KindEndpoints: 1, KindDrains: 2, KindSynced: -1,
	KindPeers: 1, KindBGPPeers: 1, KindBGPAdverts: 1,
}

// Key is a key of the store, taken apart.
type Key struct {
	Area Area
	// Cluster is the peer's name in the mirror area, and empty elsewhere.
	Cluster string
	Kind    Kind
	// Name is what follows the kind: a node, namespace/name,
	// namespace/service/slice, … For KindSynced it is the kind that the marker
	// vouches for; for a process, role/node.
	Name string
}

// String returns the key as it is stored.
func (k Key) String() string {
	var b strings.Builder
	b.WriteString(Root)
	b.WriteString(string(k.Area))
	if k.Area == Mirror {
		b.WriteByte('/')
		b.WriteString(k.Cluster)
	}
	if k.Kind != KindProcess {
		b.WriteByte('/')
		b.WriteString(string(k.Kind))
	}
	if k.Name != "" {
		b.WriteByte('/')
		b.WriteString(k.Name)
	}
	return b.String()
}

// Prefix returns what all keys of the same area, cluster and kind begin with.
func (k Key) Prefix() string {
	k.Name = ""
	return k.String() + "/"
}

// Marker returns the key of the marker that vouches for k's table, and false
// for what needs none: markers themselves, single keys and status.
func (k Key) Marker() (Key, bool) {
	switch k.Kind {
	case KindCluster, KindState, KindSynced, KindProcess:
		return Key{}, false
	}
	return Key{Area: k.Area, Cluster: k.Cluster, Kind: KindSynced, Name: string(k.Kind)}, true
}

// ParseKey takes a stored key apart. A key that is not of the layout is an
// error that names it; the epoch is not of the layout.
func ParseKey(s string) (Key, error) {
	rest, ok := strings.CutPrefix(s, Root)
	if !ok {
		return Key{}, fmt.Errorf("key %q does not begin with %q", s, Root)
	}
	area, rest, _ := strings.Cut(rest, "/")
	k := Key{Area: Area(area)}
	switch k.Area {
	case Export, Private:
	case Mirror:
		if k.Cluster, rest, _ = strings.Cut(rest, "/"); k.Cluster == "" {
			return Key{}, fmt.Errorf("key %q names no cluster", s)
		}
	case Status:
		k.Kind, k.Name = KindProcess, rest
		return k, checkName(s, rest, 2)
	default:
		return Key{}, fmt.Errorf("key %q is in no known area", s)
	}
	kind, name, _ := strings.Cut(rest, "/")
	if kind == "bgp" {
		second, more, _ := strings.Cut(name, "/")
		kind, name = kind+"/"+second, more
	}
	k.Kind, k.Name = Kind(kind), name
	want, ok := parts[k.Kind]
	if !ok {
		return Key{}, fmt.Errorf("key %q is of no known kind", s)
	}
	if k.Kind == KindSynced {
		if n, table := parts[Kind(name)]; !table || n <= 0 {
			return Key{}, fmt.Errorf("key %q marks no known table", s)
		}
		return k, nil
	}
	return k, checkName(s, name, want)
}

func checkName(key, name string, want int) error {
	if want == 0 {
		if name != "" {
			return fmt.Errorf("key %q has a name where its kind takes none", key)
		}
		return nil
	}
	fields := strings.Split(name, "/")
	if len(fields) != want {
		return fmt.Errorf("key %q has %d names after its kind, want %d", key, len(fields), want)
	}
	for _, f := range fields {
		if f == "" {
			return fmt.Errorf("key %q has an empty name", key)
		}
	}
	return nil
}
