package agent

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
)

// settling is how long nodes that are new may be silent before that is news.
const settling = 10 * time.Second

// Failover is what this node thinks of the others.
type Failover = health.Snapshot

// failover returns it, also before the agent runs.
func (a *Agent) failover() *Failover {
	if j := a.judge.Load(); j != nil {
		return j.Snapshot()
	}
	return &Failover{Mode: a.config.Failover, Verdicts: []health.Verdict{}}
}

// verdicts answers /verdicts.
func (a *Agent) verdicts(*http.Request) (any, error) { return a.failover(), nil }

// events answers /events, and with ?after=N those after event N.
func (a *Agent) events(r *http.Request) (any, error) {
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("reading after: %w", err)
		}
	}
	return append([]health.Event{}, a.failover().Events(after)...), nil
}

// setVerdict answers a POST to /verdicts: kind, name, and state or nothing.
func (a *Agent) setVerdict(r *http.Request) (any, error) {
	q := r.URL.Query()
	state := clustermesh.VerdictState(q.Get("state"))
	if state != "" && state != clustermesh.VerdictUp && state != clustermesh.VerdictDown {
		return nil, fmt.Errorf("a verdict by hand is up or down, not %q", state)
	}
	j := a.judge.Load()
	if j == nil {
		return nil, fmt.Errorf("the agent does not run yet")
	}
	return struct{}{}, j.SetByHand(r.Context(), q.Get("kind"), q.Get("name"), state)
}

// concerns say what of failover is not in order, a line each.
func concerns(s *Failover, now time.Time) []string {
	if s.Mode == health.Off {
		return []string{"failover is off (--failover=off): dead nodes are not noticed"}
	}
	var out []string
	if s.Problem != "" {
		out = append(out, "other nodes cannot be judged: "+s.Problem)
	}
	if !s.Blind.IsZero() {
		by := ""
		if s.Sees != 0 {
			by = " by " + s.BlindIn.String()
		}
		out = append(out, "this node hears nobody"+by+" since "+s.Blind.UTC().Format(time.RFC3339)+": its verdicts"+by+" stay as they are")
	}
	if !s.Starved.IsZero() {
		out = append(out, fmt.Sprintf("this node judges nobody since %s: its agent gets too little time, and was never on time for a second (%d pauses since it started); give it CPU, see who takes it",
			s.Starved.UTC().Format(time.RFC3339), s.Stalls))
	}
	if s.Interval > s.Wanted && s.Expected > promised {
		out = append(out, fmt.Sprintf("it takes up to %v to find a node dead: %d are watched here, each asked every %v instead of %v; a larger --probe-budget asks more often",
			s.Expected.Round(10*time.Millisecond), s.Watched, s.Interval.Round(time.Millisecond), s.Wanted))
	}
	if r := s.Remembered; r != nil {
		out = append(out, fmt.Sprintf("etcd has not listed the nodes of %s since the agent started: they are judged as remembered, which is %v old (%s)",
			strings.Join(r.Clusters, ", "), coarse(now.Sub(r.Since)), r.Since.UTC().Format(time.RFC3339)))
	}
	var listable []string
	whole := map[string]bool{} // clusters that are named already
	for _, v := range s.Verdicts {
		what := "node " + v.Cluster + "/" + v.Node
		if v.Node == "" {
			what = "cluster " + v.Cluster
		}
		switch {
		case v.Node != "" && whole[v.Cluster]:
			continue
		case v.Override, v.State == clustermesh.VerdictDown:
		case v.State == clustermesh.VerdictUnmonitored && now.Sub(v.Since) > settling, v.Unsent:
		default:
			continue
		}
		if v.Node == "" { // by one family alone says nothing of what the other shows
			whole[v.Cluster] = v.State != clustermesh.VerdictDown || v.AddressDown.Has(clustermesh.AllFamilies)
		}
		listable = append(listable, fmt.Sprintf("%s is %s since %s: %s", what, v.State, v.Since.UTC().Format(time.RFC3339), v.Reason))
	}
	return append(out, listed(len(listable), func(i int) string { return listable[i] })...)
}

// promised is how long it may take to find a node dead before that is a concern.
const promised = time.Second

// coarse rounds an age, so that a line that names it is not another one at each look.
func coarse(age time.Duration) time.Duration {
	if age < time.Minute {
		return age.Truncate(10 * time.Second)
	}
	return age.Truncate(time.Minute)
}

// failoverSamples are the metrics of verdicts.
func failoverSamples(s *Failover) []control.Sample {
	out := []control.Sample{
		{Name: "tombolo_verdict_blind", Help: "1 while this node hears nobody and judges nobody.", Value: truth(!s.Blind.IsZero())},
		{Name: "tombolo_verdict_remembered", Help: "1 while some nodes are judged as they are remembered from before the agent started.", Value: truth(s.Remembered != nil)},
		{Name: "tombolo_verdict_watched_nodes", Help: "Nodes that this one watches.", Value: float64(s.Watched)},
		{Name: "tombolo_verdict_interval_seconds", Help: "Time between two probes to a watched node in a family.", Value: s.Interval.Seconds()},
		{Name: "tombolo_verdict_expected_seconds", Help: "Time that it takes at most until a watched node that dies is down.", Value: s.Expected.Seconds()},
		{Name: "tombolo_verdict_starved", Help: "1 while this agent gets too little time to judge anybody.", Value: truth(!s.Starved.IsZero())},
		{Name: "tombolo_verdict_stalls_total", Counter: true, Help: "Pauses of this agent after which all that it waited for was void.", Value: float64(s.Stalls)},
	}
	states := []clustermesh.VerdictState{
		clustermesh.VerdictUp, clustermesh.VerdictSuspect, clustermesh.VerdictDown, clustermesh.VerdictDraining, clustermesh.VerdictUnmonitored,
	}
	nodes, clusters := map[[2]string]int{}, []string{}
	for _, v := range s.Verdicts {
		if v.Node != "" {
			nodes[[2]string{v.Cluster, string(v.State)}]++
			continue
		}
		clusters = append(clusters, v.Cluster)
		for _, state := range states {
			out = append(out, control.Sample{
				Name: "tombolo_verdict_cluster", Help: "1 for the state that a cluster is in, as this node sees it.",
				Value: truth(v.State == state), Labels: []string{"cluster", v.Cluster, "state", string(state)},
			})
		}
	}
	for _, cluster := range clusters {
		for _, state := range states {
			out = append(out, control.Sample{
				Name: "tombolo_verdict_nodes", Help: "Nodes of a cluster by the state they are in, as this node sees it.",
				Value: float64(nodes[[2]string{cluster, string(state)}]), Labels: []string{"cluster", cluster, "state", string(state)},
			})
		}
	}
	return out
}
