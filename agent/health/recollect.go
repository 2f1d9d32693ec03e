package health

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/kept"
)

// surveyFile has the last survey, below the run directory; surveyVersion is of its
// form.
const (
	surveyFile    = "survey.json"
	surveyVersion = 1
)

// confirmEvery is how often it is written again while nothing in it changes, so that
// its age is known when it is needed.
const confirmEvery = time.Minute

// parseSurvey reads a survey of a node strictly: what another version, node or hand
// wrote is refused, not half understood.
func parseSurvey(raw []byte, node string) (survey, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return survey{}, err
	}
	if version.Version != surveyVersion {
		return survey{}, fmt.Errorf("it is of version %d, want %d", version.Version, surveyVersion)
	}
	var s survey
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return survey{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return survey{}, errors.New("something follows it")
	}
	if s.Node != node {
		return survey{}, fmt.Errorf("it is of node %q", s.Node)
	}
	return s, s.validate()
}

// validate says what is wrong with a survey that was read.
func (s survey) validate() error {
	seen := map[string]struct{}{}
	once := func(kind string, name any) error {
		key := fmt.Sprint(kind, " ", name)
		if _, ok := seen[key]; ok {
			return fmt.Errorf("%s is there twice", key)
		}
		seen[key] = struct{}{}
		return nil
	}
	for _, c := range s.Clusters {
		o := &clustermesh.Cluster{Name: c.Name, ID: c.ID}
		errs := []error{clustermesh.Validate(clustermesh.KeyOf(clustermesh.Export, o), o), once("cluster", c.Name), once("peer", c.As), once("id", c.ID)}
		if c.Seen.IsZero() {
			errs = append(errs, fmt.Errorf("cluster %s was never seen", c.Name))
		}
		if (c.As == view.Ours) != (c.Name == s.Cluster) {
			errs = append(errs, fmt.Errorf("cluster %s is called %q, and the own one is %s", c.Name, c.As, s.Cluster))
		}
		for _, n := range c.Nodes {
			o := &clustermesh.Node{Name: n.Name, Addresses: n.Addresses, PodCIDRs: n.PodCIDRs}
			errs = append(errs, clustermesh.Validate(clustermesh.KeyOf(clustermesh.Export, o), o), once("node", Name{c.Name, n.Name}))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	if me := s.me(); me == nil || len(me.Addresses) == 0 {
		return fmt.Errorf("it does not know the addresses of node %s", s.Node)
	}
	return nil
}

// recollect begins to judge by the survey that was kept. It may be old, and what it
// says is nobody's word that somebody is up: see order.
func (h *Health) recollect(ctx context.Context) {
	raw, ok, err := kept.Read[json.RawMessage](h.path(surveyFile))
	if err == nil && !ok {
		return
	}
	var s survey
	if err == nil {
		s, err = parseSurvey(raw, h.config.Node)
	}
	if err == nil {
		for i := range s.Clusters {
			s.Clusters[i].remembered = true
		}
		err = h.open(ctx, s.mesh().sources) // which fails where they are another node's
	}
	if err != nil {
		h.problem = fmt.Errorf("what was kept of the mesh in %s is not used: %w", surveyFile, err)
		h.deps.Log.Warn("the mesh's nodes are not judged before the store names them", "error", h.problem)
		return
	}
	h.old, h.kept, h.keptAt = s, s, time.Now()
	if h.config.Mode == On {
		h.told = append(h.told, order{places: s.places()})
	}
	h.deps.Log.Info("watching whom the store named before", "clusters", len(s.Clusters))
	h.adopt(s)
}

// disown lets the survey go, kept or of before our own cluster had another name, and takes
// back what was said by it.
func (h *Health) disown(cluster string) {
	h.deps.Log.Warn("what is known of the mesh is of another cluster and is not used", "known", h.survey.Cluster, "cluster", cluster)
	for who, o := range h.ordered {
		if o.down != 0 {
			h.tellBalancer(h.mesh.ids[who.Cluster], who.Node, ordered{known: loadbalancer.Everything})
		}
	}
	clear(h.ordered)
	h.old, h.machine, h.mesh = survey{}, nil, mesh{}
}

// keep has the survey written down when it is due.
func (h *Health) keep(now time.Time) {
	if h.survey.Cluster == "" || !h.unkept && now.Sub(h.keptAt) < confirmEvery {
		return
	}
	h.unkept, h.kept, h.keptAt = false, h.dated(now), now
	h.file(surveyFile, h.kept)
}

// dated returns the survey as of now, for the disk.
func (h *Health) dated(now time.Time) survey {
	s := h.survey
	s.Clusters = slices.Clone(s.Clusters)
	if stale, _ := h.view.Stale(); stale.IsZero() {
		for i := range s.Clusters {
			if c := &s.Clusters[i]; !c.remembered {
				c.Seen = now.UTC()
			}
		}
	}
	return s
}

// places are where the survey has the backends of nodes.
func (s survey) places() []loadbalancer.Place {
	var out []loadbalancer.Place
	for _, c := range s.Clusters {
		for _, n := range c.Nodes {
			out = append(out, loadbalancer.Place{Cluster: c.ID, Node: n.Name, Addresses: n.Addresses, Pods: n.PodCIDRs})
		}
	}
	return out
}

// Remembered is what is judged by what the store said before this process started.
type Remembered struct {
	// Since is when it said so last, of the oldest.
	Since time.Time `json:"since"`
	// Clusters are those that it has not listed since, by name.
	Clusters []string `json:"clusters"`
}
