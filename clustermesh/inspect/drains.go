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
	// Connections are those from this cluster's nodes that are left, as their agents
	// last reported; nil if none of them says, as of what comes back. Silent are the
	// nodes whose agents do not say.
	Connections *uint64  `json:"connections,omitempty"`
	Silent      []string `json:"silent,omitempty"`
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
	out = append(out, others...)
	reports, err := agentReports(ctx, c)
	if err != nil {
		return nil, err
	}
	for n := range v.Nodes(view.Ours) {
		for i := range out {
			out[i].add(n.Name, reports[n.Name])
		}
	}
	for i := range out {
		slices.Sort(out[i].Silent)
	}
	return out, nil
}

// add adds what a node's agent reports, nil if there is none.
func (d *Drain) add(node string, report *clustermesh.ProcessStatus) {
	if d.State == "Returning" {
		return
	}
	ref := clustermesh.DrainRef{Cluster: d.Cluster, What: d.What, Name: d.Name}
	if report != nil {
		for _, n := range report.Drains {
			if n.DrainRef == ref {
				if d.Connections == nil {
					d.Connections = new(uint64)
				}
				*d.Connections += uint64(n.Connections)
				return
			}
		}
	}
	d.Silent = append(d.Silent, node)
}

// agentReports returns what the agents of the cluster say of themselves, by node.
func agentReports(ctx context.Context, c *etcd.Client) (map[string]*clustermesh.ProcessStatus, error) {
	out := map[string]*clustermesh.ProcessStatus{}
	_, err := c.List(ctx, clustermesh.Root+string(clustermesh.Status)+"/"+clustermesh.RoleAgent+"/", func(kv etcd.KV) error {
		if o, err := clustermesh.DecodeAt(kv.Key, kv.Value); err == nil { // tombolo status -A names the others
			if p, ok := o.(*clustermesh.ProcessStatus); ok {
				out[p.Node] = p
			}
		}
		return nil
	})
	return out, err
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
