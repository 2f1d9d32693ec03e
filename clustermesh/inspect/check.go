package inspect

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Check is what the agents of a cluster found when they were asked.
type Check struct {
	Cluster string `json:"cluster,omitempty"`
	// Nodes are all of the cluster, by name.
	Nodes []CheckedNode `json:"nodes"`
	// Findings are what is wrong, the worst first; what is the same from or to several
	// nodes is one.
	Findings []CheckFinding `json:"findings"`
}

// CheckedNode is what one agent answered.
type CheckedNode struct {
	Node     string                  `json:"node"`
	Answered bool                    `json:"answered"`
	Version  string                  `json:"version,omitempty"`
	Kernel   string                  `json:"kernel,omitempty"`
	Paths    []clustermesh.CheckPath `json:"paths,omitempty"`
}

// CheckFinding is something that is wrong.
type CheckFinding struct {
	Level clustermesh.FindingLevel `json:"level"`
	Code  string                   `json:"code"`
	// From are nodes of this cluster, To what is at the other end: CLUSTER/NODE, or a
	// cluster; empty where the nodes themselves are not in order.
	From     []string `json:"from"`
	To       []string `json:"to,omitempty"`
	Families []string `json:"families,omitempty"`
	Problem  string   `json:"problem"`
	Mend     string   `json:"mend"`
}

// Wrong says whether anything is wrong; notes are not.
func (c *Check) Wrong() bool {
	return slices.ContainsFunc(c.Findings, func(f CheckFinding) bool { return f.Level == clustermesh.FindingWrong })
}

// RunCheck asks all agents of a cluster to check their paths, and waits for their
// answers as long as patience says. Agents that do not answer are a finding.
func RunCheck(ctx context.Context, c *etcd.Client, patience time.Duration) (*Check, error) {
	cluster, nodes, err := members(ctx, c)
	if err != nil {
		return nil, err
	}
	request := &clustermesh.CheckRequest{ID: strings.ToLower(rand.Text())}
	value, err := clustermesh.Encode(request)
	if err != nil {
		return nil, err
	}
	key := clustermesh.KeyOf(clustermesh.Status, request).String()
	if err := c.PutFor(ctx, key, value, patience.Truncate(time.Second)+2*time.Second); err != nil {
		return nil, err
	}
	reporting, err := reporters(ctx, c)
	if err != nil {
		return nil, err
	}
	answers, err := gather(ctx, c, request.ID, nodes, reporting, patience)
	if err != nil {
		return nil, err
	}
	if err := c.Delete(ctx, key); err != nil {
		return nil, err
	}
	return Conclude(cluster, nodes, answers, reporting), nil
}

// members returns the name of the cluster, and those of its nodes.
func members(ctx context.Context, c *etcd.Client) (cluster string, nodes []string, err error) {
	kv, ok, err := c.Get(ctx, clustermesh.KeyOf(clustermesh.Export, &clustermesh.Cluster{}).String())
	if err != nil {
		return "", nil, err
	}
	if ok {
		if o, err := clustermesh.DecodeAt(kv.Key, kv.Value); err == nil {
			cluster = o.(*clustermesh.Cluster).Name
		}
	}
	found := map[string]bool{}
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		prefix := clustermesh.Key{Area: area, Kind: clustermesh.KindNodes}.Prefix()
		if _, err := c.List(ctx, prefix, func(kv etcd.KV) error {
			found[strings.TrimPrefix(kv.Key, prefix)] = true
			return nil
		}); err != nil {
			return "", nil, err
		}
	}
	if len(found) == 0 {
		return "", nil, errors.New("the cluster's store has no nodes, so nobody can be asked; is its API server in order (tombolo status -A)?")
	}
	return cluster, slices.Sorted(maps.Keys(found)), nil
}

// reporters returns the nodes whose agent reports to the store.
func reporters(ctx context.Context, c *etcd.Client) (map[string]bool, error) {
	processes, err := Processes(ctx, c)
	if err != nil {
		return nil, err
	}
	reporting := map[string]bool{}
	for _, p := range processes {
		if p.Role == clustermesh.RoleAgent {
			reporting[p.Node] = true
		}
	}
	return reporting, nil
}

// gather waits until the nodes whose agents report have answered a request, or
// patience is over.
func gather(ctx context.Context, c *etcd.Client, id string, nodes []string, reporting map[string]bool, patience time.Duration) (map[string]*clustermesh.CheckAnswer, error) {
	// The watch has no deadline: it would take its own end for one of the store's.
	over := time.NewTimer(patience)
	defer over.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	table := etcd.Table[clustermesh.Object]{
		Prefix: clustermesh.Key{Area: clustermesh.Status, Kind: clustermesh.KindAnswers}.Prefix(),
		Decode: clustermesh.DecodeAt,
	}
	batches, done := make(chan etcd.Batch[clustermesh.Object]), make(chan error, 1)
	go func() { done <- table.Watch(ctx, c, slog.New(slog.DiscardHandler), batches) }()
	answers := map[string]*clustermesh.CheckAnswer{}
	var away error // why etcd is out of reach, nil while it is not
	missing := func(node string) bool { return reporting[node] && answers[node] == nil }
	for slices.ContainsFunc(nodes, missing) {
		select {
		case b := <-batches:
			for _, e := range b.Events {
				if a, ok := e.Value.(*clustermesh.CheckAnswer); ok && slices.Contains(a.Requests, id) && slices.Contains(nodes, a.Node) {
					answers[a.Node] = a
				}
			}
			away = b.Err
		case <-over.C:
			cancel()
			<-done
			if away != nil {
				return nil, fmt.Errorf("waiting for the answers: etcd is out of reach: %w", away)
			}
			return answers, nil
		case err := <-done:
			if away != nil {
				return nil, fmt.Errorf("waiting for the answers: etcd is out of reach: %w", away)
			}
			return nil, err
		}
	}
	cancel()
	<-done
	return answers, nil
}

// Conclude makes a Check of what the agents answered; reporting are the nodes whose
// agent reports to the store. It is a pure function.
func Conclude(cluster string, nodes []string, answers map[string]*clustermesh.CheckAnswer, reporting map[string]bool) *Check {
	c := &Check{Cluster: cluster, Nodes: []CheckedNode{}, Findings: []CheckFinding{}}
	var all []clustermesh.Finding
	var from []string
	add := func(node string, f clustermesh.Finding) { all, from = append(all, f), append(from, node) }
	for _, node := range nodes {
		a := answers[node]
		if a == nil {
			c.Nodes = append(c.Nodes, CheckedNode{Node: node})
			add(node, silence(reporting[node]))
			continue
		}
		c.Nodes = append(c.Nodes, CheckedNode{Node: node, Answered: true, Version: a.Version, Kernel: a.Kernel, Paths: a.Paths})
		for _, f := range a.Findings {
			add(node, f)
		}
		if a.More > 0 {
			add(node, clustermesh.Finding{Level: clustermesh.FindingNote, Code: "more", Problem: fmt.Sprintf("%d more findings are not shown", a.More), Mend: "mend those that are, and check again"})
		}
	}
	c.Findings = merge(all, from)
	return c
}

// silence is what it means that an agent did not answer.
func silence(reports bool) clustermesh.Finding {
	f := clustermesh.Finding{
		Level: clustermesh.FindingWrong, Code: "no-agent", Problem: "no agent reports from there, so nothing was checked from it",
		Mend: "start tombolo agent there, or see whether it reaches the cluster's etcd (tombolo status on the node)",
	}
	if reports {
		f.Code, f.Problem = "no-answer", "its agent did not answer in time, so nothing was checked from it"
		f.Mend = "check again with a longer --timeout; see whether the agent is of an older version or overloaded (tombolo status on the node)"
	}
	return f
}

// merge makes one of what is the same, and sorts: what is wrong first, then what
// concerns the most.
func merge(all []clustermesh.Finding, from []string) []CheckFinding {
	type what struct {
		level               clustermesh.FindingLevel
		code, problem, mend string
	}
	merged := map[what]*CheckFinding{}
	for i, f := range all {
		k := what{f.Level, f.Code, f.Problem, f.Mend}
		m := merged[k]
		if m == nil {
			m = &CheckFinding{Level: f.Level, Code: f.Code, Problem: f.Problem, Mend: f.Mend}
			merged[k] = m
		}
		m.From = insert(m.From, from[i])
		m.To = insert(m.To, strings.TrimSuffix(f.Cluster+"/"+f.Node, "/"))
		m.Families = insert(m.Families, f.Family)
	}
	out := []CheckFinding{}
	for _, m := range merged {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b CheckFinding) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), -cmp.Compare(len(a.From)*max(len(a.To), 1), len(b.From)*max(len(b.To), 1)),
			cmp.Compare(a.Code, b.Code), slices.Compare(a.From, b.From), slices.Compare(a.To, b.To), cmp.Compare(a.Problem, b.Problem))
	})
	return out
}

// insert adds a word to a sorted list that does not have it; the empty word is none.
func insert(list []string, word string) []string {
	i, has := slices.BinarySearch(list, word)
	if has || word == "" {
		return list
	}
	return slices.Insert(list, i, word)
}
