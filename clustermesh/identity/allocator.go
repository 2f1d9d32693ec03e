package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// ErrExhausted says that every number of the cluster is taken. Label sets that
// have one keep it.
var ErrExhausted = errors.New("all identities of the cluster are taken")

// Allocator gives numbers to sets of labels and counts who uses them.
type Allocator struct {
	cluster uint16
	grace   time.Duration
	// last is the highest number; the lowest is 1.
	last uint16
	// byNumber has every number that is not free; byLabels the number of each
	// set, by its canonical form.
	byNumber map[uint16]*holding
	byLabels map[string]uint16
}

// holding is a number that is not free.
type holding struct {
	// labels is what the number means; nil when it is contested, which is to
	// say that it meant several things to others and is given to nobody.
	labels map[string]string
	users  int
	// idle is since when there are no users.
	idle time.Time
}

// ErrOtherCluster is returned for a number outside of the cluster's range, as those
// are that it gave out while it had another id.
var ErrOtherCluster = errors.New("it is not one of cluster")

// NewAllocator returns an allocator of the numbers of a cluster that are free
// again when nobody used them for the grace time.
func NewAllocator(cluster uint16, grace time.Duration) *Allocator {
	return &Allocator{cluster: cluster, grace: grace, last: math.MaxUint16, byNumber: map[uint16]*holding{}, byLabels: map[string]uint16{}}
}

// Learn takes in what another knows: the store, or an agent that kept what it
// uses. It precedes the first Acquire. A number that means different labels to
// different others is contested: it means nothing from then on, and is free
// after the grace time. Identities of other clusters are refused.
func (a *Allocator) Learn(id clustermesh.IdentityID, labels map[string]string, now time.Time) error {
	if id.Cluster() != a.cluster || id.Local() == 0 {
		return fmt.Errorf("learning identity %d: %w %d", id, ErrOtherCluster, a.cluster)
	}
	n, key := id.Local(), canonical(labels)
	h := a.byNumber[n]
	if h == nil {
		a.byNumber[n] = &holding{labels: labels, idle: now}
		if _, ok := a.byLabels[key]; !ok {
			a.byLabels[key] = n
		}
		return nil
	}
	if h.users == 0 {
		h.idle = now
	}
	if h.labels != nil && canonical(h.labels) == key {
		return nil
	}
	if h.users == 0 {
		a.contest(n, h)
	}
	return fmt.Errorf("learning identity %d: it means {%s} and, to another, {%s}", id, words(h.labels), words(labels))
}

func (a *Allocator) contest(n uint16, h *holding) {
	if key := canonical(h.labels); a.byLabels[key] == n {
		delete(a.byLabels, key)
	}
	h.labels = nil
}

// Acquire returns the number of a set of labels, a new one when it has none,
// and counts one user more.
func (a *Allocator) Acquire(labels map[string]string) (clustermesh.IdentityID, error) {
	key := canonical(labels)
	n, ok := a.byLabels[key]
	if !ok {
		if n, ok = a.free(key); !ok {
			return 0, ErrExhausted
		}
		a.byLabels[key] = n
		a.byNumber[n] = &holding{labels: labels}
	}
	a.byNumber[n].users++
	return clustermesh.NewIdentityID(a.cluster, n), nil
}

// attempts is how many numbers the hash of a set proposes.
const attempts = 8

// free returns the number that a new set of labels gets: one that its hash
// proposes, or the next that is free.
func (a *Allocator) free(key string) (uint16, bool) {
	sum := sha256.Sum256([]byte(key))
	for i := range attempts {
		if n := 1 + binary.BigEndian.Uint16(sum[2*i:])%a.last; a.byNumber[n] == nil {
			return n, true
		}
	}
	start := int(binary.BigEndian.Uint16(sum[2*attempts:]))
	for i := range int(a.last) {
		if n := uint16(1 + (start+i)%int(a.last)); a.byNumber[n] == nil {
			return n, true
		}
	}
	return 0, false
}

// Release undoes one Acquire.
func (a *Allocator) Release(id clustermesh.IdentityID, now time.Time) {
	h := a.byNumber[id.Local()]
	if h.users--; h.users == 0 {
		h.idle = now
	}
}

// Expire frees the numbers that nobody used for the grace time, and returns
// them sorted.
func (a *Allocator) Expire(now time.Time) []clustermesh.IdentityID {
	var out []clustermesh.IdentityID
	for n, h := range a.byNumber {
		if h.users > 0 || now.Before(h.idle.Add(a.grace)) {
			continue
		}
		delete(a.byNumber, n)
		if key := canonical(h.labels); a.byLabels[key] == n {
			delete(a.byLabels, key)
		}
		out = append(out, clustermesh.NewIdentityID(a.cluster, n))
	}
	slices.Sort(out)
	return out
}

// Next returns when Expire frees something next; false when all are used.
func (a *Allocator) Next() (next time.Time, ok bool) {
	for _, h := range a.byNumber {
		if at := h.idle.Add(a.grace); h.users == 0 && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	return next, ok
}

// Identity returns what a number means; nil when it means nothing.
func (a *Allocator) Identity(id clustermesh.IdentityID) *clustermesh.Identity {
	h := a.byNumber[id.Local()]
	if id.Cluster() != a.cluster || h == nil || h.labels == nil {
		return nil
	}
	return &clustermesh.Identity{ID: id, Labels: h.labels}
}

// Identities returns all numbers that mean something, sorted.
func (a *Allocator) Identities() []*clustermesh.Identity {
	var out []*clustermesh.Identity
	for _, n := range slices.Sorted(maps.Keys(a.byNumber)) {
		if i := a.Identity(clustermesh.NewIdentityID(a.cluster, n)); i != nil {
			out = append(out, i)
		}
	}
	return out
}

// canonical is equal for equal sets of labels and for no others: no key has an
// equals sign in it, and no value a newline.
func canonical(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(k + "=" + labels[k] + "\n")
	}
	return b.String()
}

// words puts a set of labels into words.
func words(labels map[string]string) string {
	return strings.ReplaceAll(strings.TrimSuffix(canonical(labels), "\n"), "\n", ", ")
}
