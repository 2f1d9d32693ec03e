package global

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestSpread holds the examples of Envoy's documentation of priority levels,
// with its factor of 1.4: how much of each level is healthy, what it gets.
func TestSpread(t *testing.T) {
	for _, c := range []struct{ alive, want string }{
		{"100 100", "100 0"},
		{"72 72", "100 0"},
		{"71 71", "99.4 0.6"},
		{"50 50", "70 30"},
		{"25 100", "35 65"},
		{"0 100", "0 100"},
		{"25 25", "50 50"},
		{"100 100 100", "100 0 0"},
		{"72 72 100", "100 0 0"},
		{"71 71 100", "99.4 0.6 0"},
		{"50 50 100", "70 30 0"},
		{"50 10 100", "70 14 16"},
		{"25 100 100", "35 65 0"},
		{"25 25 100", "35 35 30"},
		{"25 25 20", "35.714 35.714 28.571"},
		{"0 0", "100 0"},
		{"0 0 1", "0 0 100"},
		{"3", "100"},
		{"", ""},
	} {
		var health []load
		for _, f := range strings.Fields(c.alive) {
			health = append(health, min(full, full*load(number(t, f))*140/10000))
		}
		var got []string
		sum := load(0)
		for _, l := range spread(health) {
			got = append(got, fmt.Sprint(math.Trunc(float64(l)/10)/1000))
			sum += l
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s of 100 alive: the tiers get %s, want %s", c.alive, text, c.want)
		}
		if len(health) > 0 && sum != full {
			t.Errorf("%s of 100 alive: %d in all, want %d", c.alive, sum, full)
		}
	}
}

// shares says which part of the new connections each cluster and each endpoint
// of a port's primary table gets, in percent, and what is in the backup.
func shares(p Port) string {
	sum := map[string]float64{}
	total := 0.0
	for _, b := range p.Primary {
		total += float64(b.Weight)
		sum[b.Cluster] += float64(b.Weight)
	}
	var out []string
	for c, s := range sum {
		out = append(out, fmt.Sprintf("%s %.4g", c, 100*s/total))
	}
	slices.Sort(out)
	if len(p.Backup) > 0 {
		out = append(out, "|", tierText(p.Backup))
	}
	return strings.Join(out, " ")
}

// pods is the text of n ready endpoints and m in another state.
func pods(cluster string, n, m int, state string) string {
	var out []string
	for i := range n + m {
		e := fmt.Sprintf("10.%d.0.%d", ids[cluster], i+1)
		if i >= n {
			e += " " + state
		}
		out = append(out, e)
	}
	return strings.Join(out, ", ")
}

func TestSpill(t *testing.T) {
	west := "west prio=1: 10.2.0.1"
	for _, c := range []struct{ name, in, want string }{
		{"a tier keeps all while enough of it lives", "east: " + pods("east", 8, 3, "unready") + ";" + west, "east 100 | west/10.2.0.1:8080"},
		{"and passes on just the rest", "east: " + pods("east", 7, 3, "unready") + ";" + west, "east 98 west 2"},
		{"half", "east: " + pods("east", 5, 5, "unready") + ";" + west, "east 70 west 30"},
		{"who ends counts as one that is not there", "east: " + pods("east", 5, 5, "ending") + ";" + west, "east 70 west 30"},
		{"and who is gone", "east: " + pods("east", 5, 5, "gone") + ";" + west, "east 70 west 30"},
		{"who is down", "east: 10.1.0.1@a, 10.1.0.2@b;" + west + "; down: east/a", "east 70 west 30"},
		{"who is ejected", "east: 10.1.0.1, 10.1.0.2;" + west + "; ejected: east/10.1.0.2", "east 70 west 30"},
		{"who is withdrawn", "east: 10.1.0.1, 10.1.0.2;" + west + "; withdrawn: east/10.1.0.2", "east 70 west 30"},
		{"who is drained, and in part", "east: 10.1.0.1@a, 10.1.0.2@b, 10.1.0.3@c, 10.1.0.4@d;" + west + "; drain: east/a=1000, east/b=1000, east/c=500", "east 52.5 west 47.5"},
		{"a family on its own", "east: 10.1.0.1 | fd01::1 unready, fd01::2;" + west, "east 100 | west/10.2.0.1:8080"},
		{"with a factor of 1", "east factor=100: " + pods("east", 9, 1, "unready") + ";" + west, "east 90 west 10"},
		{"with a factor of 100 nothing is passed on", "east factor=10000: " + pods("east", 1, 9, "unready") + ";" + west, "east 100 | west/10.2.0.1:8080"},
		{"the factor of the one who looks counts", "east: " + pods("east", 5, 5, "unready") + "; west prio=1 factor=10000: 10.2.0.1", "east 70 west 30"},
		{"affinity makes tiers too", "east local prio=5: " + pods("east", 5, 5, "unready") + ";" + west, "east 70 west 30"},
		{"a tier of two clusters is one", "east: " + pods("east", 5, 0, "") + "; north: " + pods("north", 0, 5, "unready") + ";" + west, "east 70 west 30"},
		{"of three tiers two bear it, the third waits", "east: " + pods("east", 5, 5, "unready") + ";" + west + "; north prio=2: 10.3.0.1", "east 70 west 30 | north/10.3.0.1:8080"},
		{"three tiers", "east: " + pods("east", 1, 3, "unready") + "; west prio=1: " + pods("west", 1, 3, "unready") + "; north prio=2: 10.3.0.1", "east 35 north 30 west 35"},
		{"the second is gone", "east: " + pods("east", 1, 3, "unready") + "; west prio=1: 10.2.0.1 unready; north prio=2: 10.3.0.1", "east 35 north 65"},
		{"the first is gone, and the second half", "east: 10.1.0.1 unready; west prio=1: " + pods("west", 1, 1, "unready") + "; north prio=2: 10.3.0.1", "north 30 west 70"},
		{"all together cannot bear it", "east: " + pods("east", 1, 3, "unready") + "; west prio=1: " + pods("west", 1, 3, "unready"), "east 50 west 50"},
		{"the backup spills as well", "east: 10.1.0.1; west prio=1: 10.2.0.1, 10.2.0.2 unready; north prio=2: 10.3.0.1", "east 100 | west/10.2.0.1:8080*700000000 north/10.3.0.1:8080*300000000"},
		{"those that only end do not spill", "east: 10.1.0.1 ending, 10.1.0.2 gone, 10.1.0.3 gone; west prio=1: 10.2.0.1 ending", "east 100 | west/10.2.0.1:8080!"},
		{"all down spill as though none were", "east: 10.1.0.1, 10.1.0.2 unready;" + west + "; down: east, west", "east 70 west 30"},
		{"weights count within a tier", "east weight=1: 10.1.0.1, 10.1.0.2 unready; west prio=1 weight=1: 10.2.0.1; north prio=1 weight=2: 10.3.0.1", "east 70 north 20 west 10"},
		{"weight 0 is not of the tier", "east: 10.1.0.1; west weight=0: " + pods("west", 0, 9, "unready") + "; north prio=1: 10.3.0.1", "east 100 | north/10.3.0.1:8080"},
		{"coming back does not jump", "east: 10.1.0.1;" + west + "; drain: east=900", "east 14 west 86"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shares(Merge(parseInput(t, c.in)).Ports[0]); got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
}
