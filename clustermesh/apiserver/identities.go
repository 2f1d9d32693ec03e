package apiserver

import (
	"context"
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
}

func newIdentities(c identity.Config) *identities {
	return &identities{registry: identity.NewRegistry(c), keys: map[string]struct{}{}}
}

// learn takes in the identities that are stored. One that cannot be learned is
// not known; its key is swept if no labels get its number.
func (i *identities) learn(ctx context.Context, c *etcd.Client, now time.Time) (bad map[string]error, err error) {
	bad = map[string]error{}
	_, err = c.List(ctx, prefix(clustermesh.Export)+string(clustermesh.KindIdentities)+"/", func(kv etcd.KV) error {
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		if err == nil {
			err = i.registry.Learn(o.(*clustermesh.Identity), now)
		}
		if err != nil {
			bad[kv.Key] = err
		}
		return nil
	})
	return bad, err
}

// set tells the registry what a unit says, and whether it is one that matters.
func (i *identities) set(unit source.Key, objects []source.Object, now time.Time) bool {
	switch unit.Kind {
	case source.Namespace:
		var labels map[string]string
		if len(objects) > 0 {
			labels = objects[0].(*source.Labels).Labels
			if labels == nil {
				labels = map[string]string{} // it exists, without labels
			}
		}
		i.registry.SetNamespace(unit.Name, labels, now)
	case source.Pod:
		if len(objects) == 0 {
			i.registry.DeletePod(unit.Namespace, unit.Name, now)
			return true
		}
		w := objects[0].(*source.Workload)
		i.registry.SetPod(identity.Pod{
			Namespace: w.Namespace, Name: w.Name, UID: w.UID, Node: w.Node,
			ServiceAccount: w.ServiceAccount, Labels: w.Labels, Addresses: w.Addresses,
		}, now)
	default:
		return false
	}
	return true
}

// changes returns what is to be stored and which keys nobody wants any more.
func (i *identities) changes(now time.Time) (puts []clustermesh.Object, deletes []string) {
	c := i.registry.Changes(now)
	for _, o := range c.Puts {
		i.keys[clustermesh.KeyOf(clustermesh.Export, o).String()] = struct{}{}
	}
	for _, k := range c.Deletes {
		key := k.String()
		delete(i.keys, key)
		deletes = append(deletes, key)
	}
	return c.Puts, deletes
}
