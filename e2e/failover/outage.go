package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/deploy/lab"
	wrong "tombolo.io/tombolo/deploy/lab/fault"
	"tombolo.io/tombolo/internal/control"
)

// remotePlaneLost kills west's API server, with the etcd in it.
func remotePlaneLost(t *trial) error {
	if err := t.Kill(t.ctx, "west-1", lab.APIServer, syscall.SIGKILL); err != nil {
		return err
	}
	if err := t.wait(t.outage); err != nil {
		return err
	}
	t.staleMirror("east", "west")
	t.staleStore("west")
	if err := t.Start(t.ctx, "west-1", lab.APIServer); err != nil {
		return err
	}
	return t.fresh()
}

// mirrorLinkLost keeps the clusters' control planes apart.
func mirrorLinkLost(t *trial) error {
	if err := t.cut(wrong.Fault{From: "east", To: "west", Traffic: wrong.Control}); err != nil {
		return err
	}
	if err := t.wait(t.outage); err != nil {
		return err
	}
	t.staleMirror("east", "west")
	t.staleMirror("west", "east")
	if _, err := t.Heal(t.ctx, nil); err != nil {
		return err
	}
	return t.fresh()
}

// apiServersLost kills the API servers of both clusters; nodes still reach etcd, which
// nobody keeps up to date.
func apiServersLost(t *trial) error { return t.bothLose(lab.APIServer) }

// etcdAloneLost kills the etcd of both clusters beside their API servers.
func etcdAloneLost(t *trial) error { return t.bothLose(lab.Etcd) }

// bothLose kills a process on the first node of both clusters for the outage.
func (t *trial) bothLose(role lab.Role) error {
	for _, cluster := range []string{"east", "west"} {
		if err := t.Kill(t.ctx, cluster+"-1", role, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if err := t.wait(t.outage); err != nil {
		return err
	}
	for _, cluster := range []string{"east", "west"} {
		t.staleStore(cluster)
		if err := t.Start(t.ctx, cluster+"-1", role); err != nil {
			return err
		}
	}
	return t.fresh()
}

// etcdLost kills the API servers of both clusters, with the etcd in them.
func etcdLost(t *trial) error {
	for _, node := range []string{"east-1", "west-1"} {
		if err := t.Kill(t.ctx, node, lab.APIServer, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if err := t.wait(t.outage); err != nil {
		return err
	}
	t.staleStore("east")
	t.staleStore("west")
	for _, cluster := range []string{"east", "west"} {
		if err := t.again(cluster); err != nil {
			return err
		}
	}
	return t.fresh()
}

// again starts the API server of a cluster with the store that the variant says.
func (t *trial) again(cluster string) error {
	switch t.variant {
	case "without_data":
		return t.Restore(t.ctx, cluster, "")
	case olderSnapshot:
		return t.Restore(t.ctx, cluster, t.snapshot(cluster))
	}
	return t.Start(t.ctx, cluster+"-1", lab.APIServer)
}

// notices is how long after a loss it may be shown: a silent connection is found
// dead by its keep-alives.
const notices = 15 * time.Second

// staleMirror wants every agent of a cluster to show the mirror of another for
// stale, since it lost it.
func (t *trial) staleMirror(reader, of string) {
	t.each(reader, func(client *control.Client) error {
		c, err := t.mirror(client, of)
		switch since := c.Since.Sub(t.fault); {
		case err != nil:
			return err
		case c.Phase != string(clustermesh.MirrorStale):
			return fmt.Errorf("the mirror of %s is shown as %s, want it stale", of, c.Phase)
		case since < -time.Second || since > notices:
			return fmt.Errorf("the mirror of %s is shown as stale for %v, want %v", of, time.Since(c.Since), time.Since(t.fault))
		}
		return nil
	})
}

// staleStore wants every agent of a cluster to show since when its etcd is away, or
// nobody keeps it.
func (t *trial) staleStore(cluster string) {
	t.each(cluster, func(client *control.Client) error {
		var s struct {
			StaleSince time.Time `json:"staleSince"`
		}
		if err := client.Get(t.ctx, "/status", &control.Report{Detail: &s}); err != nil {
			return err
		}
		if since := s.StaleSince.Sub(t.fault); since < -time.Second || since > notices {
			return fmt.Errorf("etcd is shown as stale since %v, want %v", s.StaleSince, t.fault)
		}
		return nil
	})
}

// fresh wants every agent to show every mirror as synced within 30 s.
func (t *trial) fresh() error {
	var last error
	for range 300 {
		if last = t.allFresh(); last == nil {
			return nil
		}
		if err := t.wait(100 * time.Millisecond); err != nil {
			return err
		}
	}
	t.wrong = append(t.wrong, "30 s after the outage "+last.Error())
	return nil
}

func (t *trial) allFresh() error {
	var errs []error
	for _, c := range t.Clusters {
		for _, n := range c.Nodes {
			for _, other := range t.Clusters {
				if other.Name == c.Name {
					continue
				}
				m, err := t.mirror(control.NewClient(t.RunDir(n.Name), string(lab.Agent)), other.Name)
				if err == nil && m.Phase != string(clustermesh.MirrorSynced) {
					err = fmt.Errorf("%s shows the mirror of %s as %s: %s", n.Name, other.Name, m.Phase, m.Reason)
				}
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// mirror is what an agent shows of the mirror of a cluster.
func (t *trial) mirror(client *control.Client, of string) (inspect.Cluster, error) {
	var all []inspect.Cluster
	if err := client.Get(t.ctx, "/clusters", &all); err != nil {
		return inspect.Cluster{}, err
	}
	for _, c := range all {
		if c.Name == of {
			return c, nil
		}
	}
	return inspect.Cluster{}, fmt.Errorf("cluster %s is not shown", of)
}

// each asks the agents of a cluster, and notes what is wrong with which.
func (t *trial) each(cluster string, ask func(*control.Client) error) {
	c, _ := t.Cluster(cluster)
	for _, n := range c.Nodes {
		if err := ask(control.NewClient(t.RunDir(n.Name), string(lab.Agent))); err != nil {
			t.wrong = append(t.wrong, n.Name+": "+err.Error())
		}
	}
}
