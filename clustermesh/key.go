package clustermesh

import (
	"fmt"
	"slices"
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
	Status  Area = "status"  // leased: what processes report, and what they ask each other
)

// Kind is the table that a key belongs to, as it is written in the key.
type Kind string

// The kinds. KindCluster, KindLease, KindState, KindSeal, KindGossip and KindOrigin are
// single keys, not tables.
const (
	KindCluster    Kind = "cluster"
	KindLease      Kind = "lease"
	KindState      Kind = "state"
	KindSeal       Kind = "seal"
	KindNodes      Kind = "nodes"
	KindServices   Kind = "services"
	KindSlices     Kind = "slices"
	KindIdentities Kind = "identities"
	KindEndpoints  Kind = "endpoints"
	KindSynced     Kind = "synced"
	KindPeers      Kind = "peers"
	KindBGPPeers   Kind = "bgp/peers"
	KindBGPAdverts Kind = "bgp/advertisements"
	KindDrains     Kind = "drains"
	KindGossip     Kind = "gossip"
	KindOrigin     Kind = "origin"
	KindPools      Kind = "pools"
	KindAddresses  Kind = "addresses"
	KindExports    Kind = "exports"
	KindImports    Kind = "imports"
	KindProcess    Kind = "process"
	KindAsked      Kind = "check/asked"
	KindAnswers    Kind = "check/answers"
)

// Later says whether a table is younger than others: a cluster of an older
// version does not vouch for it, and has nothing of it.
func (k Kind) Later() bool {
	return k == KindDrains || k == KindAddresses || k == KindPools || k == KindExports || k == KindImports
}

// place is where keys of a kind lie.
type place struct {
	names int
	areas []Area
}

// layout says of each kind how many names follow it in a key, and in which
// areas it may lie; a peer that exports BGP objects is refused here. What a
// drain is of is the first of its names: see namesOf.
var layout = map[Kind]place{
	KindCluster:    {0, []Area{Export, Mirror}},
	KindLease:      {0, []Area{Export}},
	KindState:      {0, []Area{Mirror}},
	KindSeal:       {0, []Area{Private}},
	KindNodes:      {1, []Area{Export, Private, Mirror}},
	KindServices:   {2, []Area{Export, Private, Mirror}},
	KindSlices:     {3, []Area{Export, Private, Mirror}},
	KindIdentities: {1, []Area{Export, Private, Mirror}},
	KindEndpoints:  {1, []Area{Export, Private, Mirror}},
	KindDrains:     {2, []Area{Export, Mirror}},
	KindExports:    {2, []Area{Export, Mirror}},
	KindImports:    {2, []Area{Private}},
	KindPools:      {1, []Area{Private}},
	KindAddresses:  {1, []Area{Export, Private, Mirror}},
	KindPeers:      {1, []Area{Private}},
	KindBGPPeers:   {1, []Area{Private}},
	KindBGPAdverts: {1, []Area{Private}},
	KindGossip:     {0, []Area{Private}},
	KindOrigin:     {0, []Area{Private}},
	KindAsked:      {1, []Area{Status}},
	KindAnswers:    {1, []Area{Status}},
}

// Tables returns the kinds that are tables of an area, sorted: those that have
// a marker.
func Tables(a Area) []Kind {
	var out []Kind
	for k, l := range layout {
		if l.names > 0 && a != Status && slices.Contains(l.areas, a) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
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
	case KindCluster, KindLease, KindState, KindSeal, KindGossip, KindOrigin, KindSynced, KindProcess, KindAsked, KindAnswers:
		return Key{}, false
	}
	return Key{Area: k.Area, Cluster: k.Cluster, Kind: KindSynced, Name: string(k.Kind)}, true
}

// ParseKey takes a stored key apart. A key that is not of the layout is an
// error that names it; the epoch is not of the layout.
func ParseKey(s string) (Key, error) {
	k, reason := parseKey(s)
	if reason == "" && k.String() != s {
		reason = "is not in the form in which keys are written"
	}
	if reason != "" {
		return Key{}, fmt.Errorf("parsing key %q: it %s", s, reason)
	}
	return k, nil
}

func parseKey(s string) (k Key, reason string) {
	rest, ok := strings.CutPrefix(s, Root)
	if !ok {
		return k, "does not begin with " + Root
	}
	area, rest, _ := strings.Cut(rest, "/")
	k.Area = Area(area)
	switch k.Area {
	case Export, Private:
	case Mirror:
		if k.Cluster, rest, _ = strings.Cut(rest, "/"); !isLabel(k.Cluster) {
			return k, "names no cluster"
		}
	case Status:
		if k.Kind, k.Name = cutKind(rest); k.Kind != KindAsked && k.Kind != KindAnswers {
			k.Kind, k.Name = KindProcess, rest
			return k, wrongNames(rest, 2)
		}
	default:
		return k, "is in no known area"
	}
	k.Kind, k.Name = cutKind(rest)
	if k.Kind == KindSynced {
		if !slices.Contains(Tables(k.Area), Kind(k.Name)) {
			return k, "marks no known table"
		}
		return k, ""
	}
	l, ok := layout[k.Kind]
	if !ok || !slices.Contains(l.areas, k.Area) {
		return k, "is of no known kind"
	}
	return k, wrongNames(k.Name, l.namesOf(k))
}

// namesOf returns how many names follow the kind: one more where they name a
// service after the word that says so.
func (l place) namesOf(k Key) int {
	if k.Kind == KindDrains && strings.HasPrefix(k.Name, string(DrainService)+"/") {
		return l.names + 1
	}
	return l.names
}

// cutKind splits what follows the area into the kind, which may have two
// parts, and the name.
func cutKind(s string) (Kind, string) {
	kind, name, _ := strings.Cut(s, "/")
	if kind == "bgp" || kind == "check" {
		second, rest, _ := strings.Cut(name, "/")
		kind, name = kind+"/"+second, rest
	}
	return Kind(kind), name
}

// wrongNames says what is wrong with the names that follow a kind, or nothing.
func wrongNames(name string, want int) string {
	if want == 0 && name == "" {
		return ""
	}
	got := 0
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			return "has an empty name"
		}
		got++
	}
	if got != want {
		return fmt.Sprintf("has %d names after its kind, want %d", got, want)
	}
	return ""
}
