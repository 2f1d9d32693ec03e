package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/deploy/lab"
	wrong "tombolo.io/tombolo/deploy/lab/fault"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/internal/control"
)

func powerOff(node string) wrong.Fault { return wrong.Fault{From: node} }

// node is the one that loses power: a remote one or one of the client's own
// cluster; not those that the control planes are on.
func (t *trial) node() string {
	return map[string]string{"remote": "west-2", "own": "east-2"}[t.variant]
}

func (t *trial) cut(f wrong.Fault) error {
	f.Kind, f.Percent = wrong.Cut, 100
	return t.inject(f)
}

func (t *trial) inject(f wrong.Fault) error {
	if f.Direction == "" {
		f.Direction = wrong.Both
	}
	if f.Traffic == "" {
		f.Traffic = wrong.All
	}
	_, err := t.Inject(t.ctx, f)
	return err
}

// apply writes demo/echo of a cluster.
func (t *trial) apply(cluster string, s objects.Service) error {
	c, ok := t.Cluster(cluster)
	if !ok {
		return fmt.Errorf("the lab has no cluster %s", cluster)
	}
	s.Name, s.Addresses = objects.Echo, objects.EchoAddresses(c)
	raw, err := s.YAML(c)
	if err != nil {
		return err
	}
	t.fault = time.Now()
	_, err = t.Apply(cluster, raw)
	return err
}

func unready(t *trial) error {
	return t.apply("west", objects.Service{NotReady: []string{"west-1-a"}})
}

func terminating(t *trial) error {
	return t.apply("west", objects.Service{Terminating: []string{"west-1-a"}})
}

// outlierDetection is the wish of both clusters.
func outlierDetection(t *trial) error {
	s := objects.Service{Annotations: map[string]string{"tombolo.io/outlier-detection": "true"}}
	return errors.Join(t.apply("east", s), t.apply("west", s))
}

func agentsKilled(t *trial) error {
	for range int(t.outage / (5 * time.Second)) {
		next := time.Now().Add(5 * time.Second)
		for _, node := range []string{"east-1", "west-1"} {
			if err := t.Kill(t.ctx, node, lab.Agent, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		for _, node := range []string{"east-1", "west-1"} {
			if err := t.Start(t.ctx, node, lab.Agent); err != nil {
				return err
			}
		}
		if err := t.wait(time.Until(next)); err != nil {
			return err
		}
	}
	return nil
}

// reused takes west's control plane from east, and gives the addresses of a pod
// of demo/echo to one of another app; the clock starts when that one is there.
func reused(t *trial) error {
	if err := t.cut(wrong.Fault{From: "east", To: "west", Traffic: wrong.Control}); err != nil {
		return err
	}
	if err := t.wait(3 * time.Second); err != nil {
		return err
	}
	t.fault = time.Now()
	if err := t.RemovePod(t.ctx, "west-1-b"); err != nil {
		return err
	}
	_, err := t.AddPod(t.ctx, "west-1", "other", "other")
	return err
}

// returned parts east from west until each is down for the other, gives the
// addresses of a pod of demo/echo to one of another app, and mends all but the
// control planes.
func returned(t *trial) error {
	if err := t.cut(wrong.Fault{From: "east", To: "west"}); err != nil {
		return err
	}
	if err := t.awaitDown(parted); err != nil {
		return err
	}
	if err := t.RemovePod(t.ctx, "west-1-b"); err != nil {
		return err
	}
	if _, err := t.AddPod(t.ctx, "west-1", "other", "other"); err != nil {
		return err
	}
	if err := t.cut(wrong.Fault{From: "east", To: "west", Traffic: wrong.Control}); err != nil {
		return err
	}
	if _, err := t.Heal(t.ctx, func(f wrong.Fault) bool { return f.Traffic == wrong.All }); err != nil {
		return err
	}
	// Their own agents know which pods live, so that nobody waits for the mirror.
	err := t.awaitDown("")
	t.back = time.Now()
	return err
}

// awaitHeard returns when every agent has heard all of the others, so that their silence
// means something, and fails after 30 s.
func (t *trial) awaitHeard() error {
	for range 300 {
		if t.unheard() == nil {
			return nil
		}
		if err := t.wait(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not within 30 s: %w", t.unheard())
}

// unheard says whom an agent has not heard at each of its addresses.
func (t *trial) unheard() error {
	for _, c := range t.Clusters {
		for _, n := range c.Nodes {
			var s health.Snapshot
			if err := control.NewClient(t.RunDir(n.Name), string(lab.Agent)).Get(t.ctx, "/verdicts", &s); err != nil {
				return err
			}
			others := 0
			for _, v := range s.Verdicts {
				if v.Node == "" || v.Node == n.Name {
					continue
				}
				if others++; v.State != clustermesh.VerdictUp || v.Reason != "" {
					return fmt.Errorf("to %s %s is %s: %s", n.Name, v.Node, v.State, v.Reason)
				}
			}
			if want := len(t.Clusters)*len(c.Nodes) - 1; others != want {
				return fmt.Errorf("%s knows %d others, want %d", n.Name, others, want)
			}
		}
	}
	return nil
}

// awaitDown returns when just those are down who should be, and fails after 15 s.
func (t *trial) awaitDown(text string) error {
	want, err := readWish(t.Plan, text)
	if err != nil {
		return err
	}
	for range 150 {
		got, err := t.down()
		if err != nil || len(want.wrong(got)) == 0 {
			return err
		}
		if err := t.wait(100 * time.Millisecond); err != nil {
			return err
		}
	}
	got, err := t.down()
	return errors.Join(fmt.Errorf("these are down: %v; want, within 15 s: %v", got, want.held), err)
}
