package lab

import (
	"context"
	"slices"

	"tombolo.io/tombolo/deploy/lab/kubelet"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// Serve has a cluster's objects be as a service says. With Kubernetes that is
// the service, the readiness of the pods, and a pool with the LoadBalancer's addresses.
func (l *Lab) Serve(ctx context.Context, cluster string, s objects.Service) error {
	c, ok := l.Cluster(cluster)
	if !ok {
		return l.noCluster(cluster)
	}
	if l.Kubernetes != "" {
		return l.serveBound(ctx, c, s)
	}
	raw, err := s.YAML(c)
	if err == nil {
		_, err = l.Apply(cluster, raw)
	}
	return err
}

// Unserve removes a service.
func (l *Lab) Unserve(cluster string, s objects.Service) error {
	c, ok := l.Cluster(cluster)
	if !ok {
		return l.noCluster(cluster)
	}
	write := s.YAML
	if l.Kubernetes != "" {
		write = s.Alone
	}
	raw, err := write(c)
	if err == nil {
		_, err = l.Delete(cluster, raw)
	}
	return err
}

func (l *Lab) serveBound(ctx context.Context, c plan.Cluster, s objects.Service) error {
	if s.LoadBalancer.IPv4.IsValid() { // it names addresses of a pool
		raw, err := objects.Pool(c)
		if err == nil {
			_, err = l.Apply(c.Name, raw)
		}
		if err != nil {
			return err
		}
	}
	raw, err := s.Alone(c)
	if err != nil {
		return err
	}
	if _, err := l.Apply(c.Name, raw); err != nil {
		return err
	}
	return l.switchPods(ctx, c, s)
}

// switchPods has the pods of the app echo be ready or not, as the service says.
func (l *Lab) switchPods(ctx context.Context, c plan.Cluster, s objects.Service) error {
	var on, off []string
	for _, n := range c.Nodes {
		for _, p := range n.Pods {
			switch {
			case p.App != plan.EchoApp:
			case s.AllNotReady || slices.Contains(s.NotReady, p.Name):
				off = append(off, p.Name)
			default:
				on = append(on, p.Name)
			}
		}
	}
	for change, pods := range map[string][]string{kubelet.NotReady + "=": off, kubelet.NotReady + "-": on} {
		if len(pods) == 0 {
			continue
		}
		args := slices.Concat([]string{"annotate", "pod", "--overwrite", "-n", objects.Namespace}, pods, []string{change})
		if _, err := l.Kubectl(ctx, c.Name, nil, args...); err != nil {
			return err
		}
	}
	return nil
}
