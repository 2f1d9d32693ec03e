package agent

import (
	"fmt"
	"strings"
	"testing"

	"tombolo.io/tombolo/agent/pods/cri"
)

func TestPodsSource(t *testing.T) {
	usual := strings.Join(cri.Sockets, ", ")
	for value, want := range map[string]string{
		"":                       "directory /r/pods or a container runtime at " + usual,
		"auto":                   "directory /r/pods or a container runtime at " + usual,
		"cri":                    "a container runtime at " + usual,
		"none":                   "nothing",
		"unix:///run/c.sock":     "a container runtime at /run/c.sock",
		"/var/lib/pods":          "directory /var/lib/pods",
		"pods":                   "",
		"unix://c.sock":          "",
		"tcp://127.0.0.1:1":      "",
		"http://localhost:10255": "",
	} {
		s, err := Config{RunDir: "/r", Pods: value}.podsSource()
		got := ""
		if err == nil {
			got = fmt.Sprint(s)
		}
		if got != want {
			t.Errorf("%q: %q, %v, want %q", value, got, err, want)
		}
	}
}

// TestUnknownPodsAreSaid holds that a node that does not know its pods says what it
// loses.
func TestUnknownPodsAreSaid(t *testing.T) {
	r := newRig(t)
	r.config.Pods = t.TempDir() + "/missing"
	a := r.start()
	r.until("a reason, and what is lost", func() bool {
		said := strings.Join(a.Status().Reasons, "\n")
		return strings.Contains(said, "reading which pods run here") && strings.Contains(said, podsLost)
	})
	if p := a.Status().Pods; !p.Unknown || len(p.Problems) == 0 {
		t.Errorf("%+v", p)
	}
}
