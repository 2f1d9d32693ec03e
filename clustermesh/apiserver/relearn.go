package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// A store that was lost, or restored, no longer says which identities are in
// use. The agents do: each reports those of its node's pods, with the epoch of
// the store to which it reports. Until all nodes have, or the wait is over, a
// term gives no number out and sweeps none, and the tables of identities stay
// unmarked, so that readers keep what they know.

// relearnEvery is how often the agents' reports are read meanwhile.
const relearnEvery = 200 * time.Millisecond

// relearning is the wait of one term.
type relearning struct {
	wait time.Duration
	// until is when the wait ends; zero while the source did not say which nodes
	// there are.
	until time.Time
	// missing are the nodes whose agents did not report yet, sorted.
	missing []string
	// next is when to read the reports again.
	next time.Time
}

// reason says what is waited for.
func (r *relearning) reason() string {
	if r.until.IsZero() {
		return "no identity is given out before the source says which nodes there are: their agents know the numbers in use"
	}
	named := r.missing[:min(len(r.missing), maxReasons)]
	more := ""
	if n := len(r.missing) - len(named); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("no identity is given out before the agents of %s%s report the numbers in use, or until %s",
		strings.Join(named, ", "), more, r.until.UTC().Format(time.RFC3339))
}

// unvouched says whether the store lacks a marker of a table in the term's epoch:
// then it does not know all that was given out.
func (t *term) unvouched(ctx context.Context, c *etcd.Client, area clustermesh.Area, table clustermesh.Kind) (bool, error) {
	marker := clustermesh.Key{Area: area, Kind: clustermesh.KindSynced, Name: string(table)}
	kv, ok, err := c.Get(ctx, marker.String())
	if err != nil || !ok {
		return true, err
	}
	o, err := clustermesh.Decode(marker, kv.Value)
	return err != nil || o.(*clustermesh.Synced).Epoch != t.epoch, nil
}

// relearn reads what the agents report, and begins to give identities out when
// all did or the wait is over. Without an answer of the store it waits on.
func (t *term) relearn(ctx context.Context, c *etcd.Client, now time.Time) error {
	r := t.relearning
	if r == nil || now.Before(r.next) || !t.catalog.synced() {
		return nil
	}
	r.next = now.Add(relearnEvery)
	if r.until.IsZero() {
		r.until = now.Add(r.wait)
	}
	reports, err := agentReports(ctx, c, t.epoch)
	if r.missing = t.catalog.nodesWithout(reports); now.Before(r.until) && (err != nil || len(r.missing) > 0) {
		return nil
	}
	for _, p := range reports {
		for i := range p.Identities {
			if err := t.identities.know(&p.Identities[i], now); err != nil {
				t.invalid["identities in the report of the agent of "+p.Node] = err
			}
		}
	}
	return t.giveOut(now)
}

// giveOut ends the wait: the pods and namespaces that came meanwhile are taken
// in, and what is stored of identities and nobody wants may be swept.
func (t *term) giveOut(now time.Time) error {
	t.relearning = nil
	for _, unit := range t.catalog.all() {
		if t.identities.matters(unit) {
			t.identities.set(unit, t.catalog.objects[unit], now)
		}
	}
	t.identify(false, now)
	for _, kind := range identityKinds {
		t.unwanted(clustermesh.Key{Area: clustermesh.Export, Kind: kind}.Prefix())
	}
	return t.tidy(now)
}

// identityKinds are the tables that wait.
var identityKinds = []clustermesh.Kind{clustermesh.KindIdentities, clustermesh.KindEndpoints}

// waits says whether a key belongs to the tables that wait for the agents.
func (t *term) waits(k clustermesh.Key) bool {
	return t.relearning != nil && slices.Contains(identityKinds, k.Kind)
}

// agentReports returns what the agents report in this epoch, or in any if it is
// empty, by node. A report that does not decode is none.
func agentReports(ctx context.Context, c *etcd.Client, epoch string) (map[string]*clustermesh.ProcessStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, ask)
	defer cancel()
	out := map[string]*clustermesh.ProcessStatus{}
	_, err := c.List(ctx, clustermesh.Root+string(clustermesh.Status)+"/"+clustermesh.RoleAgent+"/", func(kv etcd.KV) error {
		if o, err := clustermesh.DecodeAt(kv.Key, kv.Value); err == nil {
			if p := o.(*clustermesh.ProcessStatus); epoch == "" || p.Epoch == epoch {
				out[p.Node] = p
			}
		}
		return nil
	})
	return out, err
}

// nodesWithout returns the nodes that have no report, sorted.
func (c *catalog) nodesWithout(reports map[string]*clustermesh.ProcessStatus) []string {
	var out []string
	for unit := range c.objects {
		if _, ok := reports[unit.Name]; unit.Kind == source.Node && !ok {
			out = append(out, unit.Name)
		}
	}
	slices.Sort(out)
	return out
}
