package check

import (
	"cmp"
	"maps"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Answer says what was found on a node: of itself, of the other clusters, and of
// the paths to their nodes, and where their agents listen. Requests and version are left to the caller.
func Answer(node string, f Facts, m Mesh, paths []*Path, doors []Door, port uint16) *clustermesh.CheckAnswer {
	a := &clustermesh.CheckAnswer{Node: node, Kernel: f.Kernel, Paths: summarize(m, paths)}
	all := f.Judge()
	for _, c := range m.Clusters {
		all = append(all, c.Judge()...)
	}
	for _, p := range paths {
		all = append(all, Judge(p, port)...)
	}
	for _, d := range doors {
		all = append(all, d.Judge()...)
	}
	// What is wrong comes first, so that notes are what does not fit.
	slices.SortStableFunc(all, func(a, b clustermesh.Finding) int { return -cmp.Compare(a.Level, b.Level) })
	for i := range all {
		all[i].Problem, all[i].Mend = clustermesh.Line(all[i].Problem), clustermesh.Line(all[i].Mend)
	}
	a.Findings = all[:min(len(all), clustermesh.MaxFindings)]
	a.More = len(all) - len(a.Findings)
	return a
}

// summarize counts the paths to each cluster, by family.
func summarize(m Mesh, paths []*Path) []clustermesh.CheckPath {
	sums := map[[2]string]*clustermesh.CheckPath{}
	for key, n := range m.known {
		sums[key] = &clustermesh.CheckPath{Cluster: key[0], Family: key[1], Nodes: n}
	}
	for _, p := range paths {
		key := [2]string{p.Cluster, p.Family()}
		if sums[key] == nil {
			sums[key] = &clustermesh.CheckPath{Cluster: p.Cluster, Family: p.Family()}
		}
		add(sums[key], p)
	}
	var out []clustermesh.CheckPath
	for _, key := range slices.SortedFunc(maps.Keys(sums), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *sums[key])
	}
	return out[:min(len(out), clustermesh.MaxCheckPaths)]
}

func add(s *clustermesh.CheckPath, p *Path) {
	s.Checked++
	s.Address += one(p.Legs[AddressToAddress].Answered)
	s.Pods += one(p.Legs[AddressToPods].Answered)
	s.Back += one(p.Legs[PodsToAddress].Answered)
	answered := func(l Leg) bool { return l.Answered }
	s.Kept += one(slices.ContainsFunc(p.Legs[:], answered) && !slices.ContainsFunc(p.Legs[:], Leg.masked))
	if n := p.Size.Passes; n > 0 && (s.MTU == 0 || n < s.MTU) {
		s.MTU = n
	}
	s.RTT = max(s.RTT, p.RTT)
	if p.Timed && p.Clock.Abs() > s.Clock.Abs() {
		s.Clock = p.Clock
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
