package inspect

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// Drain is what a cluster drains of its own.
type Drain struct {
	Cluster string                `json:"cluster"`
	What    clustermesh.DrainKind `json:"what"`
	Name    string                `json:"name"`
	// State is Draining, Ended (its deadline has passed) or Returning.
	State string `json:"state"`
	// Moved is which part of new connections is moved away, in percent.
	Moved float64   `json:"moved"`
	Since time.Time `json:"since"`
	// Deadline is when what is left is ended; Back when all of it is back.
	Deadline time.Time `json:"deadline,omitzero"`
	Back     time.Time `json:"back,omitzero"`
	Reason   string    `json:"reason,omitempty"`
}

// Drains returns what all clusters drain, those of the store's own first.
func Drains(ctx context.Context, c *etcd.Client) ([]Drain, error) {
	v, err := read(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []Drain
	for d := range v.Drains(view.Ours) {
		out = append(out, drainOf(ours(v), d))
	}
	slices.SortFunc(out, compareDrains)
	var others []Drain
	for cluster := range v.Mirrors() {
		for d := range v.Drains(cluster) {
			others = append(others, drainOf(cluster, d))
		}
	}
	slices.SortFunc(others, compareDrains)
	return append(out, others...), nil
}

func drainOf(cluster string, d *clustermesh.Drain) Drain {
	out := Drain{
		Cluster: cluster, What: d.What, Name: d.Name, State: "Draining", Moved: 100 * float64(d.Moved) / clustermesh.DrainedWhole,
		Since: d.Since, Deadline: d.Deadline, Reason: d.Reason,
	}
	switch {
	case d.Ended:
		out.State = "Ended"
	case !d.Returning.IsZero():
		out.State, out.Back = "Returning", d.Returning.Add(d.Over)
	}
	return out
}

func compareDrains(a, b Drain) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.What, b.What), cmp.Compare(a.Name, b.Name))
}

// read returns a view of all that a store holds now.
func read(ctx context.Context, c *etcd.Client) (*view.View, error) {
	v := view.New("")
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private, clustermesh.Mirror} {
		var b view.Batch
		_, err := c.List(ctx, clustermesh.Root+string(area)+"/", func(kv etcd.KV) error {
			o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
			if err == nil { // tombolo clusters counts the others
				b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: kv.Key, Value: o, Revision: kv.Revision})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		v.Apply(b)
	}
	return v, nil
}

// ours returns the name of the store's own cluster.
func ours(v *view.View) string {
	if self := v.Self(); self != nil {
		return self.Name
	}
	return ""
}
