package clusterset

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// Random offers, resolved by Resolve and by what the KEP's text says, read as it
// stands: every property by itself, every pair of ports against each other.
func TestRandomOffers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range 5000 {
		var lines []string
		for _, cluster := range []string{"a", "b", "c", "d"}[:1+r.IntN(4)] {
			words := []string{cluster, fmt.Sprint(r.IntN(4))}
			for _, w := range []string{
				pick("", "headless"), pick("", "", "local"), pick("", "zone"), pick("", "affinity=5", "affinity=6"),
				pick("", "families=4", "families=46"), pick("", "label=a", "label=b"), pick("", "note=a"), randomPorts(r),
			} {
				if w != "" {
					words = append(words, w)
				}
			}
			lines = append(lines, strings.Join(words, " "))
		}
		var offers []Offer
		for _, line := range lines {
			offers = append(offers, offer(t, line))
		}
		s := Resolve(echo, offers)
		want := obvious(offers)
		r.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		if again := Resolve(echo, offers); !reflect.DeepEqual(again, s) {
			t.Fatalf("%s:\nanother order gives %s\nnot %s", strings.Join(lines, "\n"), text(again), text(s))
		}
		if got := sketch(s); got != want {
			t.Fatalf("%s:\n got %s\nwant %s", strings.Join(lines, "\n"), got, want)
		}
		checkPorts(t, lines, s, offers)
	}
}

func randomPorts(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return "ports=:" + fmt.Sprint(80+r.IntN(2))
	}
	var out []string
	names, numbers := r.Perm(4), r.Perm(4)
	for i := range r.IntN(4) {
		out = append(out, fmt.Sprintf("p%d:%d%s%s", names[i], 80+numbers[i], []string{"", "/UDP"}[r.IntN(2)], []string{"", "+x"}[r.IntN(2)]))
	}
	if out == nil {
		return ""
	}
	return "ports=" + strings.Join(out, ",")
}

// sketch is what obvious says of a service.
func sketch(s *Service) string {
	out := []string{fmt.Sprint(s.Headless, s.SessionAffinity, s.InternalPolicy, s.Distribution, s.Families, s.Labels, s.Annotations, s.Oldest)}
	for _, c := range s.Conflicts {
		out = append(out, string(c.Reason))
	}
	return strings.Join(out, " ")
}

// obvious finds the oldest by comparing each offer with each, and a conflict by
// comparing each with the oldest.
func obvious(offers []Offer) string {
	before := func(a, b Offer) bool {
		x, y := a.Export.Created, b.Export.Created
		switch {
		case x.Equal(y):
			return a.Cluster < b.Cluster
		case x.IsZero():
			return false
		case y.IsZero():
			return true
		}
		return x.Before(y)
	}
	oldestOf := func(offers []Offer) (oldest Offer) {
		for _, o := range offers {
			if !slices.ContainsFunc(offers, func(p Offer) bool { return p.Cluster != o.Cluster && before(p, o) }) {
				oldest = o
			}
		}
		return oldest
	}
	first := oldestOf(offers)
	s, e := first.Export.Service, first.Export
	want := Service{Headless: s.Headless, Labels: e.Labels, Annotations: e.Annotations, Oldest: first.Cluster}
	var addressed []Offer
	for _, o := range offers {
		if o.Export.Families != 0 && !s.Headless && !o.Export.Service.Headless {
			addressed = append(addressed, o)
		}
	}
	if !s.Headless {
		want.SessionAffinity, want.InternalPolicy, want.Distribution = s.SessionAffinity, s.InternalPolicy, s.Distribution
		if len(addressed) > 0 {
			want.Families = oldestOf(addressed).Export.Families
		}
	}
	differs := map[Reason]bool{}
	for _, o := range offers {
		x := o.Export.Service
		differs[TypeConflict] = differs[TypeConflict] || x.Headless != s.Headless
		differs[LabelsConflict] = differs[LabelsConflict] || fmt.Sprint(o.Export.Labels) != fmt.Sprint(e.Labels)
		differs[AnnotationsConflict] = differs[AnnotationsConflict] || fmt.Sprint(o.Export.Annotations) != fmt.Sprint(e.Annotations)
		differs[PortConflict] = differs[PortConflict] || !samePorts(x.Ports, s.Ports)
		if s.Headless || x.Headless {
			continue
		}
		differs[SessionAffinityConflict] = differs[SessionAffinityConflict] || (x.SessionAffinity > 0) != (s.SessionAffinity > 0)
		differs[SessionAffinityConfigConflict] = differs[SessionAffinityConfigConflict] ||
			x.SessionAffinity > 0 && s.SessionAffinity > 0 && x.SessionAffinity != s.SessionAffinity
		differs[InternalTrafficPolicyConflict] = differs[InternalTrafficPolicyConflict] || x.InternalPolicy != s.InternalPolicy
		differs[TrafficDistributionConflict] = differs[TrafficDistributionConflict] || x.Distribution != s.Distribution
		differs[IPFamilyConflict] = differs[IPFamilyConflict] || o.Export.Families != 0 && o.Export.Families != want.Families
	}
	for _, reason := range Reasons {
		if differs[reason] {
			want.Conflicts = append(want.Conflicts, Conflict{Reason: reason})
		}
	}
	return sketch(&want)
}

func samePorts(a, b []clustermesh.ServicePort) bool {
	has := func(all []clustermesh.ServicePort, p clustermesh.ServicePort) bool { return slices.Contains(all, p) }
	for _, p := range a {
		if !has(b, p) {
			return false
		}
	}
	return len(a) == len(b)
}

// checkPorts holds the joined ports against the rules that a service's have, and
// against each port that somebody offers: it is there, or an older one is in its way.
func checkPorts(t *testing.T, lines []string, s *Service, offers []Offer) {
	t.Helper()
	age := slices.SortedFunc(slices.Values(offers), older)
	of := func(p clustermesh.ServicePort) int {
		return slices.IndexFunc(age, func(o Offer) bool {
			return slices.ContainsFunc(o.Export.Service.Ports, func(q clustermesh.ServicePort) bool { q.NodePort = 0; return p == q })
		})
	}
	for i, p := range s.Ports {
		if of(p) < 0 {
			t.Fatalf("%s: nobody offers %+v", strings.Join(lines, "\n"), p)
		}
		for _, q := range s.Ports[:i] {
			if p.Name == q.Name || p.Name == "" || q.Name == "" || p.Protocol == q.Protocol && p.Port == q.Port {
				t.Fatalf("%s: %+v and %+v are both there", strings.Join(lines, "\n"), p, q)
			}
		}
	}
	for i, o := range age {
		for _, p := range o.Export.Service.Ports {
			p.NodePort = 0
			inTheWay := func(q clustermesh.ServicePort) bool { return clash(p, q) && of(q) <= i }
			if !slices.Contains(s.Ports, p) && !slices.ContainsFunc(s.Ports, inTheWay) {
				t.Fatalf("%s: %+v of %s is left out for nothing; there are %+v", strings.Join(lines, "\n"), p, o.Cluster, s.Ports)
			}
		}
	}
}
