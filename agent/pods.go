package agent

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/agent/pods/cri"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/internal/control"
)

// The words that --pods knows besides a directory's path and a socket's, unix://PATH.
const (
	PodsAuto = "auto" // the directory pods in the run directory, or else a runtime
	PodsCRI  = "cri"  // a container runtime at one of the usual sockets
	PodsNone = "none" // nobody tells, and that is no fault
)

// podsLost is what a node loses that does not know its pods.
const podsLost = "as long as nothing is known of this node's pods, those that ended stay in use by nodes that cannot follow this cluster's store"

// podsSource reads Pods: one of the words, or a path. Empty is auto.
func (c Config) podsSource() (pods.Source, error) {
	runtime := func(sockets ...string) pods.Source {
		return cri.Runtime{Sockets: sockets, Cgroup: c.DataPath.Cgroup, Host: cri.HostAddresses}
	}
	socket, isSocket := strings.CutPrefix(c.Pods, "unix://")
	switch {
	case c.Pods == "" || c.Pods == PodsAuto:
		dir := pods.Directory(filepath.Join(c.RunDir, "pods"))
		return pods.Either{Sources: []pods.Source{dir, runtime(cri.Sockets...)}, Missing: fmt.Sprintf("it is not known which pods run here: there is no %v and no socket of a container runtime: "+
			"let the agent see the runtime's, name it with --pods unix://PATH, or say --pods none where no pods run", dir)}, nil
	case c.Pods == PodsCRI:
		return runtime(cri.Sockets...), nil
	case c.Pods == PodsNone:
		return pods.None{}, nil
	case isSocket && filepath.IsAbs(socket):
		return runtime(socket), nil
	case filepath.IsAbs(c.Pods):
		return pods.Directory(c.Pods), nil
	}
	return nil, fmt.Errorf("--pods %q: want %s, %s, %s, unix:// and the path of a container runtime's socket, or the path of a directory", c.Pods, PodsAuto, PodsCRI, PodsNone)
}

// podsConfig is that of the node's pods, once Validate has passed.
func (c Config) podsConfig(boot bpf.BootID) pods.Config {
	source, err := c.podsSource()
	if err != nil {
		source = pods.None{}
	}
	return pods.Config{Source: source, RunDir: c.RunDir, Boot: boot.String()}
}

// Pods is what this node knows of its own pods.
type Pods struct {
	// Known is how many run here; nothing is known while Unknown is set, and other
	// clusters that ask are told so.
	Known   int  `json:"known"`
	Unknown bool `json:"unknown,omitempty"`
	// From says whence it is known.
	From string `json:"from,omitempty"`
	// Doubted counts those that the container runtime has no more, which is not
	// believed.
	Doubted int `json:"doubted,omitempty"`
	// Problems say what cannot be read.
	Problems []string `json:"problems,omitempty"`
}

// PodList is which pods run on this node.
type PodList struct {
	// Pods are nil while nothing is known.
	Pods     []pods.Pod `json:"pods"`
	From     string     `json:"from,omitempty"`
	Problems []string   `json:"problems,omitempty"`
}

// listPods answers /pods.
func (a *Agent) listPods(*http.Request) (any, error) {
	n := a.pods.Load()
	if n == nil {
		return nil, errors.New("the agent does not run yet")
	}
	s := n.Snapshot()
	return &PodList{Pods: s.Set.Pods(), From: s.From, Problems: s.Problems}, nil
}

// podsOf returns what is known, and what of it is not in order.
func podsOf(s *pods.Snapshot) (p Pods, reasons []string) {
	p = Pods{Known: s.Set.Len(), Unknown: s.Set == nil, From: s.From, Doubted: s.Doubted, Problems: s.Problems}
	reasons = listed(len(s.Problems), func(i int) string { return s.Problems[i] })
	if p.Unknown && len(reasons) > 0 {
		reasons = append(reasons, podsLost)
	}
	return p, reasons
}

// samples are the metrics of the node's pods.
func (p Pods) samples() []control.Sample {
	return []control.Sample{
		{Name: "tombolo_pods_known", Help: "Pods that run on this node, as the node itself says.", Value: float64(p.Known)},
		{Name: "tombolo_pods_doubted", Help: "Pods that the container runtime has no more, which is not believed.", Value: float64(p.Doubted)},
		{Name: "tombolo_pods_problems", Help: "What cannot be read of the pods that run on this node.", Value: float64(len(p.Problems))},
	}
}
