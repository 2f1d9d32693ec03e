package apiserver

import (
	"context"
	"errors"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// identityGrace is how long a number that no pod uses keeps its meaning: longer
// than anybody takes to notice that a pod is gone.
const identityGrace = 15 * time.Minute

// identities gives pods their identities, for one term. What the registry
// wants stored is found in keys.
type identities struct {
	registry *identity.Registry
	keys     map[string]struct{}
	census   census
	// stored are the numbers that the store had when the term began.
	stored map[clustermesh.IdentityID]struct{}
}

func newIdentities(c identity.Config, counts census) *identities {
	return &identities{registry: identity.NewRegistry(c), census: counts, keys: map[string]struct{}{}, stored: map[clustermesh.IdentityID]struct{}{}}
}

// learn takes in the identities that are stored. One that cannot be learned is
// not known; its key is swept if no labels get its number.
func (i *identities) learn(ctx context.Context, c *etcd.Client, now time.Time) (bad map[string]error, err error) {
	bad = map[string]error{}
	_, err = c.List(ctx, prefix(clustermesh.Export)+string(clustermesh.KindIdentities)+"/", func(kv etcd.KV) error {
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		if err == nil {
			id := o.(*clustermesh.Identity)
			i.stored[id.ID] = struct{}{}
			err = i.know(id, now)
		}
		if err != nil {
			bad[kv.Key] = err
		}
		return nil
	})
	return bad, err
}

// recall takes in identities of before the store was lost: those whose number
// the store has not given a meaning since.
func (i *identities) recall(ids []*clustermesh.Identity, now time.Time) error {
	for _, id := range ids {
		if _, ok := i.stored[id.ID]; ok {
			continue
		}
		if err := i.know(id, now); err != nil {
			return err
		}
	}
	return nil
}

// know takes in what a number means. One of another cluster's range is of the time
// when this one had another id: it is nothing wrong, and goes.
func (i *identities) know(id *clustermesh.Identity, now time.Time) error {
	if err := i.registry.Learn(id, now); !errors.Is(err, identity.ErrOtherCluster) {
		return err
	}
	return nil
}

// matters says whether identities hang on a unit.
func (i *identities) matters(unit source.Key) bool {
	return unit.Kind == source.Pod || unit.Kind == source.Namespace
}

// set tells the registry what a unit says.
func (i *identities) set(unit source.Key, objects []source.Object, now time.Time) {
	switch {
	case unit.Kind == source.Namespace:
		i.registry.SetNamespace(unit.Name, namespaceLabels(objects), now)
	case len(objects) == 0:
		i.registry.DeletePod(unit.Namespace, unit.Name, now)
	default:
		w := objects[0].(*source.Workload)
		i.registry.SetPod(identity.Pod{
			Namespace: w.Namespace, Name: w.Name, UID: w.UID, Node: w.Node,
			ServiceAccount: w.ServiceAccount, Labels: w.Labels, Addresses: w.Addresses,
		}, now)
	}
}

// namespaceLabels returns the labels of a namespace, nil when there is none.
func namespaceLabels(objects []source.Object) map[string]string {
	if len(objects) == 0 {
		return nil
	}
	if labels := objects[0].(*source.Labels).Labels; labels != nil {
		return labels
	}
	return map[string]string{}
}

// changes returns what is to be stored and which keys nobody wants any more.
func (i *identities) changes(now time.Time) (puts []clustermesh.Object, deletes []string) {
	c := i.registry.Changes(now)
	for _, o := range c.Puts {
		key := clustermesh.KeyOf(clustermesh.Export, o).String()
		if _, ok := i.keys[key]; !ok {
			i.keys[key] = struct{}{}
			i.census.add(key, 1)
		}
	}
	for _, k := range c.Deletes {
		key := k.String()
		if _, ok := i.keys[key]; ok {
			delete(i.keys, key)
			i.census.add(key, -1)
		}
		deletes = append(deletes, key)
	}
	return c.Puts, deletes
}
