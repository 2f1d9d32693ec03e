package identity

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Pod is a workload, as far as it has an identity.
type Pod struct {
	Namespace, Name string
	UID             string
	Node            string
	ServiceAccount  string
	Labels          map[string]string
	// Addresses are the pod's own; one in its node's network has none.
	Addresses []netip.Addr
}

func (p *Pod) key() string { return p.Namespace + "/" + p.Name }

// Config of a Registry.
type Config struct {
	// Cluster and ID are the cluster's name and number.
	Cluster string
	ID      uint16
	Filter  Filter
	// Grace is how long a number that nobody uses keeps its meaning.
	Grace time.Duration
}

// Registry knows the identity of every pod of a cluster and of every address
// of a pod.
type Registry struct {
	config     Config
	numbers    *Allocator
	namespaces map[string]map[string]string
	// pods are by namespace/name; inNamespace are the same by namespace.
	pods        map[string]*member
	inNamespace map[string]map[string]*member
	// claims are the pods that say an address is theirs, the last to say so last.
	claims map[netip.Addr][]*member
	// shared are the addresses that several pods claim.
	shared map[netip.Addr]struct{}
	// changedIDs and changedAddrs are what Changes looks at.
	changedIDs   map[clustermesh.IdentityID]bool
	changedAddrs map[netip.Addr]bool
	// numberless are the pods that got no number.
	numberless map[string]*member
}

// member is a pod and its number, zero when it got none.
type member struct {
	Pod
	id clustermesh.IdentityID
}

// NewRegistry returns an empty registry.
func NewRegistry(c Config) *Registry {
	return &Registry{
		config: c, numbers: NewAllocator(c.ID, c.Grace),
		namespaces: map[string]map[string]string{}, pods: map[string]*member{},
		inNamespace: map[string]map[string]*member{}, claims: map[netip.Addr][]*member{},
		shared:     map[netip.Addr]struct{}{},
		changedIDs: map[clustermesh.IdentityID]bool{}, changedAddrs: map[netip.Addr]bool{},
		numberless: map[string]*member{},
	}
}

// Learn takes in an identity that the store or an agent knows; see
// Allocator.Learn. All that is known is learned before the first pod is set.
func (r *Registry) Learn(id *clustermesh.Identity, now time.Time) error {
	r.changedIDs[id.ID] = true
	return r.numbers.Learn(id.ID, id.Labels, now)
}

// SetNamespace sets the labels of a namespace, nil when it is gone, and with
// them the identities of its pods.
func (r *Registry) SetNamespace(name string, labels map[string]string, now time.Time) {
	if maps.Equal(r.namespaces[name], labels) {
		return
	}
	r.namespaces[name] = labels
	if labels == nil {
		delete(r.namespaces, name)
	}
	for _, key := range slices.Sorted(maps.Keys(r.inNamespace[name])) {
		r.number(r.pods[key], now)
	}
}

// SetPod sets a pod, new or changed.
func (r *Registry) SetPod(p Pod, now time.Time) {
	key := p.key()
	m := r.pods[key]
	if m == nil {
		m = &member{}
		r.pods[key] = m
		if r.inNamespace[p.Namespace] == nil {
			r.inNamespace[p.Namespace] = map[string]*member{}
		}
		r.inNamespace[p.Namespace][key] = m
	}
	for _, a := range m.Addresses {
		r.disclaim(a, m)
	}
	m.Pod = p
	for _, a := range p.Addresses {
		if !slices.Contains(r.claims[a], m) {
			if r.claims[a] = append(r.claims[a], m); len(r.claims[a]) > 1 {
				r.shared[a] = struct{}{}
			}
		}
		r.changedAddrs[a] = true
	}
	r.number(m, now)
}

// DeletePod forgets a pod.
func (r *Registry) DeletePod(namespace, name string, now time.Time) {
	key := namespace + "/" + name
	m := r.pods[key]
	if m == nil {
		return
	}
	delete(r.pods, key)
	delete(r.numberless, key)
	delete(r.inNamespace[namespace], key)
	if len(r.inNamespace[namespace]) == 0 {
		delete(r.inNamespace, namespace)
	}
	for _, a := range m.Addresses {
		r.disclaim(a, m)
	}
	if m.id != 0 {
		r.numbers.Release(m.id, now)
	}
}

func (r *Registry) disclaim(a netip.Addr, m *member) {
	r.changedAddrs[a] = true
	r.claims[a] = slices.DeleteFunc(r.claims[a], func(o *member) bool { return o == m })
	if len(r.claims[a]) < 2 {
		delete(r.shared, a)
	}
	if len(r.claims[a]) == 0 {
		delete(r.claims, a)
	}
}

// number gives a pod the number of its labels. The new number is acquired
// before the old is released, so that one that stays is never idle.
func (r *Registry) number(m *member, now time.Time) {
	old := m.id
	id, err := r.numbers.Acquire(r.config.Filter.Labels(r.config.Cluster, &m.Pod, r.namespaces[m.Namespace]))
	if err != nil {
		r.numberless[m.key()] = m
	} else {
		delete(r.numberless, m.key())
	}
	m.id = id
	if old != 0 {
		r.numbers.Release(old, now)
	}
	if id == old {
		return
	}
	r.changedIDs[id] = true
	for _, a := range m.Addresses {
		r.changedAddrs[a] = true
	}
}

// Changes are what differs from what was given before, in the order in which
// it is to be written: Puts, then Deletes. A number is stored before the first
// address that has it and goes after the last.
type Changes struct {
	Puts    []clustermesh.Object
	Deletes []clustermesh.Key
}

// Changes frees what is due and returns what changed since the last call, or
// since the start. What was not written (the store refused) is had again from
// All.
func (r *Registry) Changes(now time.Time) Changes {
	for _, id := range r.numbers.Expire(now) {
		r.changedIDs[id] = true
	}
	for _, key := range slices.Sorted(maps.Keys(r.numberless)) {
		r.number(r.numberless[key], now)
	}
	var c Changes
	var goneIDs []clustermesh.Key
	for _, id := range slices.Sorted(maps.Keys(r.changedIDs)) {
		if i := r.numbers.Identity(id); i != nil {
			c.Puts = append(c.Puts, i)
		} else if id != 0 {
			goneIDs = append(goneIDs, clustermesh.KeyOf(clustermesh.Export, &clustermesh.Identity{ID: id}))
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(r.changedAddrs), netip.Addr.Compare) {
		if e := r.endpoint(a); e != nil {
			c.Puts = append(c.Puts, e)
		} else {
			c.Deletes = append(c.Deletes, clustermesh.KeyOf(clustermesh.Export, &clustermesh.EndpointIdentity{Address: a}))
		}
	}
	c.Deletes = append(c.Deletes, goneIDs...)
	clear(r.changedIDs)
	clear(r.changedAddrs)
	return c
}

// endpoint returns the identity of an address. An address that pods of
// different identities claim has none: refusing is better than to be wrong.
func (r *Registry) endpoint(a netip.Addr) *clustermesh.EndpointIdentity {
	claims := r.claims[a]
	if len(claims) == 0 {
		return nil
	}
	for _, m := range claims {
		if m.id == 0 || m.id != claims[0].id {
			return nil
		}
	}
	last := claims[len(claims)-1]
	return &clustermesh.EndpointIdentity{
		Address: a, Identity: last.id, PodUID: last.UID, Node: last.Node, Pod: last.key(),
	}
}

// All returns every identity and every address, in the order in which they are
// to be written.
func (r *Registry) All() (ids []*clustermesh.Identity, addresses []*clustermesh.EndpointIdentity) {
	for _, a := range slices.SortedFunc(maps.Keys(r.claims), netip.Addr.Compare) {
		if e := r.endpoint(a); e != nil {
			addresses = append(addresses, e)
		}
	}
	return r.numbers.Identities(), addresses
}

// Next returns when Changes has something to free; false when there is nothing.
func (r *Registry) Next() (time.Time, bool) { return r.numbers.Next() }

// Problem is an address or a pod without an identity.
type Problem struct{ Subject, Reason string }

// Problems returns the addresses that several pods claim and the pods that got
// no number.
func (r *Registry) Problems() []Problem {
	var out []Problem
	for _, a := range slices.SortedFunc(maps.Keys(r.shared), netip.Addr.Compare) {
		if r.endpoint(a) != nil {
			continue
		}
		var pods []string
		for _, m := range r.claims[a] {
			pods = append(pods, m.key())
		}
		slices.Sort(pods)
		out = append(out, Problem{"address " + a.String(), "claimed by pods of different identities: " + strings.Join(pods, ", ")})
	}
	for _, key := range slices.Sorted(maps.Keys(r.numberless)) {
		out = append(out, Problem{"pod " + key, ErrExhausted.Error()})
	}
	return out
}
