package loadbalancer

import "context"

// verdict is what somebody found out about a node, or about a cluster when the
// node has no name.
type verdict struct {
	nodeName
	health Health
}

// SetClusterHealth stores a verdict about a cluster, by one byte. It returns
// when Run has stored it, or ctx is done.
func (l *LoadBalancer) SetClusterHealth(ctx context.Context, cluster uint16, h Health) error {
	return l.tell(ctx, verdict{nodeName{cluster: cluster}, h})
}

// SetNodeHealth stores a verdict about a node of a cluster; one that no backend
// names now is kept until one does. It returns when Run has it, or ctx is done.
func (l *LoadBalancer) SetNodeHealth(ctx context.Context, cluster uint16, node string, h Health) error {
	return l.tell(ctx, verdict{nodeName{cluster, node}, h})
}

func (l *LoadBalancer) tell(ctx context.Context, v verdict) error {
	select {
	case l.verdicts <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// judge stores a verdict.
func (l *LoadBalancer) judge(v verdict) {
	if v.name == "" {
		l.state.target.SetClusterHealth(v.cluster, v.health)
	} else {
		l.state.nodes.judge(v.nodeName, v.health)
	}
}

// judgeWaiting stores the verdicts that wait: Run looks for them between keys,
// so that they do not wait for a thousand services.
func (l *LoadBalancer) judgeWaiting() {
	for {
		select {
		case v := <-l.verdicts:
			l.judge(v)
		default:
			return
		}
	}
}
