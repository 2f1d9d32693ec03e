package apiserver

import (
	"errors"
	"fmt"
	"iter"
	"net/http"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
)

// Surface is what the API server shows on its socket.
func (a *APIServer) Surface() control.Surface {
	return control.Surface{
		Role: Role, Node: a.config.Node, Version: a.config.Version, Listen: a.config.MetricsListen,
		Health: func() (clustermesh.Health, []string) { s := a.Status(); return s.Health, s.Reasons },
		Ready:  func() error { return a.Status().Ready() },
		Detail: func() any { return a.Status() },
		Pages: map[string]control.Page{
			"/manifests": func(*http.Request) (any, error) { return a.Status().Source, nil },
			"/mirrors":   func(*http.Request) (any, error) { return a.Status().Mirrors, nil },
		},
		Samples: func() iter.Seq[control.Sample] { return a.Status().samples() },
	}
}

// Ready returns nil once the API server does its work, or what it waits for.
// One that stands by is ready when it could lead.
func (s Status) Ready() error {
	switch {
	case s.StoreErr != "":
		return errors.New("the store: " + s.StoreErr)
	case !s.Source.Synced && s.Source.Err != "":
		return fmt.Errorf("%s cannot be read: %s", s.Source.From, s.Source.Err)
	case !s.Source.Synced:
		return fmt.Errorf("%s was not read yet", s.Source.From)
	case s.LeaderName == "":
		return errors.New("nobody leads yet")
	case s.Leader && !s.Passed:
		return errors.New("the first pass of this term is not stored yet")
	}
	return nil
}

// samples are the API server's metrics.
func (s Status) samples() iter.Seq[control.Sample] {
	all := []control.Sample{
		{Name: "tombolo_apiserver_leader", Help: "1 in the API server that leads.", Value: truth(s.Leader)},
		{Name: "tombolo_apiserver_synced", Help: "1 while a complete pass of this leader is stored.", Value: truth(s.Synced)},
		{Name: "tombolo_apiserver_store_reachable", Help: "1 while the store can be read and written.", Value: truth(s.StoreErr == "")},
		{Name: "tombolo_apiserver_waiting_keys", Help: "Keys that nobody wants and that were not deleted yet.", Value: float64(s.Waiting)},
		{Name: "tombolo_apiserver_invalid_objects", Help: "Objects that cannot be stored as they are.", Value: float64(len(s.Invalid))},
		{Name: "tombolo_source_readable", Help: "1 while the source can be read.", Value: truth(s.Source.Err == "")},
		{Name: "tombolo_source_objects", Help: "Objects of the source.", Value: float64(s.Source.Objects)},
		{Name: "tombolo_source_problems", Help: "Objects that could not be taken as they are written.", Value: float64(len(s.Source.Problems))},
	}
	for _, m := range s.Mirrors {
		all = append(all,
			control.Sample{Name: "tombolo_mirror_synced", Help: "1 while the mirror of a peer is as the peer is.",
				Value: truth(m.State.Phase == clustermesh.MirrorSynced), Labels: []string{"peer", m.Peer}},
			control.Sample{Name: "tombolo_mirror_problems", Help: "Values of a peer that are not mirrored.",
				Value: float64(m.Problems), Labels: []string{"peer", m.Peer}})
	}
	return func(yield func(control.Sample) bool) {
		for _, sample := range all {
			if !yield(sample) {
				return
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
