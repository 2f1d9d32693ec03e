package agent

import (
	"net/netip"
	"slices"
	"testing"

	"tombolo.io/tombolo/agent/census"
	"tombolo.io/tombolo/internal/control"
)

// What is withdrawn is said to be, and counted; what is only observed is not.
func TestAbsences(t *testing.T) {
	gone := []census.Withdrawn{{Cluster: "west", Address: netip.MustParseAddr("10.2.1.11"), Reason: "n"}, {Cluster: "west", Address: netip.MustParseAddr("10.2.1.12"), Reason: "n"}}
	for want, s := range map[string]*Census{
		"1 endpoint of cluster west is withdrawn until its mirror is fresh again: 10.2.1.11, for n":                              {Withdrawn: gone[:1]},
		"2 endpoints of cluster west are withdrawn until its mirror is fresh again: 10.2.1.11, for n; 10.2.1.12, for n":          {Withdrawn: gone},
		"only observed: 1 of the endpoints of cluster west would be withdrawn until its mirror is fresh again: 10.2.1.11, for n": {Withdrawn: gone[:1], Observed: true},
	} {
		if got := absences(s); !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
		counted := slices.ContainsFunc(censusSamples(s), func(c control.Sample) bool { return c.Name == "tombolo_census_withdrawn" })
		if counted == s.Observed {
			t.Errorf("observed %v, counted %v", s.Observed, counted)
		}
	}
}
