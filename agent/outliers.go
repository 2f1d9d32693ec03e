package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// outliersFor returns what becomes of backends that fail, by what becomes of
// verdicts about nodes.
func outliersFor(m health.Mode) loadbalancer.Outliers {
	switch m {
	case health.On:
		return loadbalancer.EjectOutliers
	case health.Observe:
		return loadbalancer.ObserveOutliers
	}
	return loadbalancer.IgnoreOutliers
}

// loadbalancer returns how services are balanced here; down is called when a
// verdict was stored.
func (a *Agent) loadbalancer(down func()) loadbalancer.Config {
	ports, _ := a.config.nodePorts() // Validate read them
	return loadbalancer.Config{
		Node: a.config.Node, Down: down, StaleAfter: a.config.StaleAfter, Packets: a.config.leadsPackets(), NodePorts: ports, Every: a.config.KubeProxyReplacement, Direct: a.config.takesTunnels(),
		Outliers: outliersFor(a.config.Failover),
		Tell: func(n loadbalancer.News) {
			if j := a.judge.Load(); j != nil {
				j.Tell(eventOf(n))
			}
		},
	}
}

// failures passes on which connections fail, as the kernel tells it.
func (a *Agent) failures(ctx context.Context, datapath *bpf.Datapath, balancer *loadbalancer.LoadBalancer) error {
	if outliersFor(a.config.Failover) == loadbalancer.IgnoreOutliers {
		return nil
	}
	told, err := datapath.Failures()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { told.Close() })
	defer func() {
		if stop() {
			told.Close()
		}
	}()
	for {
		all, err := told.Read()
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("hearing of connections that fail: %w", err)
		}
		if balancer.Fail(ctx, loadbalancer.ConnectFailures(all)) != nil {
			return nil // ctx ended
		}
	}
}

// eventOf tells people of an ejection.
func eventOf(n loadbalancer.News) health.Event {
	e := health.Event{
		Time: n.Since, What: fmt.Sprintf("%v port %d at %v of %s", n.Service, n.Port, n.Address, n.Cluster),
		From: "used", To: "ejected", Reason: n.Reason, Observed: n.Observed,
	}
	if n.Ended {
		e.Time, e.From, e.To, e.Reason = time.Now(), "ejected", "used", ""
	}
	return e
}

// Ejected is a backend that is left out because connections to it fail.
type Ejected struct {
	Cluster string         `json:"cluster"`
	Address netip.AddrPort `json:"address"`
	Node    string         `json:"node,omitempty"`
	Zone    string         `json:"zone,omitempty"`
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until"`
	Reason  string         `json:"reason"`
	// Observed: it is used all the same, for --failover=observe.
	Observed bool `json:"observed,omitempty"`
}

// ejectedOf returns those of a port.
func ejectedOf(p *global.Port, st *loadbalancer.ServiceStatus) []Ejected {
	var out []Ejected
	for _, e := range st.Ejections {
		for _, table := range [][]global.Backend{p.Primary, p.Backup, p.Aside} {
			for i := range table {
				b := &table[i]
				if e.Port != p.Port || e.Cluster != b.Cluster || e.Address != netip.AddrPortFrom(b.Address, b.Port) {
					continue
				}
				out = append(out, Ejected{
					Cluster: b.Cluster, Address: e.Address, Node: b.Node, Zone: b.Zone,
					Since: e.Since.UTC(), Until: e.Until.UTC(), Reason: e.Reason, Observed: st.Input.Ejected[e.Target] == "",
				})
			}
		}
	}
	return out
}

// outlierSamples are the metrics of ejections.
func outlierSamples(s *Status) []control.Sample {
	out := []control.Sample{
		{Name: "tombolo_outlier_ejections_active", Help: "Backends that are left out because connections to them fail.", Value: float64(s.Ejected)},
		{Name: "tombolo_outlier_ejections_total", Help: "Ejections of backends.", Counter: true, Value: float64(s.Outliers.Ejected)},
		{Name: "tombolo_outlier_ejections_overflow_total", Help: "Failures whose backend was not ejected because too many are already.",
			Counter: true, Value: float64(s.Outliers.Overflow)},
		{Name: "tombolo_outlier_failures_lost_total", Help: "Failed connections of which the agent was not told.",
			Counter: true, Value: float64(s.Counters.FailuresLost)},
	}
	c := s.Counters
	for cause, n := range map[bpf.FailureCause]uint64{bpf.Refused: c.FailedRefused, bpf.Silent: c.FailedSilent, bpf.Reset: c.FailedReset} {
		out = append(out, control.Sample{
			Name: "tombolo_outlier_failures_total", Help: "Failed connections to backends of services with outlier detection.",
			Counter: true, Value: float64(n), Labels: []string{"cause", cause.String()},
		})
	}
	return out
}
