package census

import (
	"maps"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh/global"
)

// Snapshot is what a Census knows. It is immutable.
type Snapshot struct {
	// Withdrawn are the endpoints that left the tables on the word of their nodes.
	Withdrawn []Withdrawn `json:"withdrawn"`
	// Observed: they are only said to be, for --failover=observe.
	Observed bool `json:"observed,omitempty"`
	// Asked counts our questions, Answered and Refused those of others.
	Asked    Asked  `json:"asked"`
	Answered uint64 `json:"answered"`
	Refused  uint64 `json:"refused"`
	// Problems say what does not work, a line each.
	Problems []string `json:"problems,omitempty"`
}

// Asked counts questions to other nodes.
type Asked struct {
	Answered uint64 `json:"answered"`
	Failed   uint64 `json:"failed"`
}

// Withdrawn is an endpoint that is withdrawn.
type Withdrawn struct {
	Cluster string     `json:"cluster"`
	Address netip.Addr `json:"address"`
	PodUID  string     `json:"podUID"`
	// Reason says on whose word.
	Reason string `json:"reason"`
}

// Snapshot returns what is known; any goroutine may ask.
func (c *Census) Snapshot() *Snapshot { return c.snapshot.Load() }

func (c *Census) publish() {
	s := &Snapshot{Withdrawn: []Withdrawn{}, Observed: c.config.Observe, Asked: c.asked, Answered: c.server.answered.Load(), Refused: c.server.refused.Load()}
	all := map[global.Pod]string{}
	for name := range c.desk.clusters {
		maps.Copy(all, c.desk.withdrawn(name))
	}
	for _, p := range slices.SortedFunc(maps.Keys(all), comparePods) {
		s.Withdrawn = append(s.Withdrawn, Withdrawn{p.Cluster, p.Address, p.UID, all[p]})
	}
	for _, what := range slices.Sorted(maps.Keys(c.problem)) {
		s.Problems = append(s.Problems, c.problem[what].Error())
	}
	c.snapshot.Store(s)
}
