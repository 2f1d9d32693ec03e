package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/internal/kubetest"
)

// What happens to an API server, and that none of it changes what is stored.
func TestLoss(t *testing.T) {
	r := newRig(t, kubetest.Config{})
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 25) + serviceYAML("web", global, "10.1.0.1"))
	all := append(nodeKeys(0, 25), serviceKeys("web")...)
	direct := r.as
	wire := r.wire()
	s := r.serve("n0", source.Shrink{})
	r.wants("stored", all...)
	r.well(s)
	before := r.stored()
	unchanged := func(r *rig) {
		r.Helper()
		now := r.stored()
		for k, v := range before {
			if strings.HasPrefix(k, "export/services") || strings.HasPrefix(k, "export/slices") || strings.HasPrefix(k, "export/nodes") {
				if now[k] != v {
					r.Errorf("%s changed", k)
				}
			}
		}
	}

	for name, end := range map[string]func(){"stopped": r.kube.Stop, "killed": r.kube.Kill} {
		t.Run(name+" and started", func(t *testing.T) {
			r := r.of(t)
			end()
			r.degraded(s, "the Kubernetes API at https://", "cannot be read")
			r.wants("nothing changes", all...)
			r.kube.Start()
			r.well(s)
			unchanged(r)
			r.apply(nodesYAML(25, 26))
			r.wants("and it goes on", append(nodeKeys(0, 26), serviceKeys("web")...)...)
			r.kube.Kubectl("", "delete", "node", "n25")
			r.wants("and it goes on", all...)
		})
	}
	t.Run("does not answer for a while", func(t *testing.T) {
		r := r.of(t)
		r.kube.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.kube.URL()+"/readyz", nil); err != nil {
			t.Error(err)
		} else if resp, err := r.admin.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("one that is paused answers with %s", resp.Status)
		}
		unchanged(r)
		r.kube.Resume()
		r.apply(nodesYAML(25, 26))
		r.wants("what came is there", append(nodeKeys(0, 26), serviceKeys("web")...)...)
		r.kube.Kubectl("", "delete", "node", "n25")
		r.wants("and went", all...)
		unchanged(r)
	})
	t.Run("history is compacted while we are away", func(t *testing.T) {
		r := r.of(t)
		wire.Cut()
		r.kube.Kubectl("", "delete", "node", "n1", "n2")
		r.apply(nodesYAML(30, 31) + serviceYAML("web", global, "10.1.0.7"))
		r.kube.Stop()
		r.compact()
		r.kube.Start() // with a watch cache that knows nothing of before
		r.degraded(s, "cannot be read")
		unchangedNodes := append(nodeKeys(0, 25), serviceKeys("web")...)
		r.wants("nothing changes meanwhile", unchangedNodes...)
		wire.Mend()
		r.wants("the difference is found by a list", append(append(nodeKeys(0, 1), nodeKeys(3, 25)...), append(serviceKeys("web"), "export/nodes/n30")...)...)
		r.well(s)
		r.apply(nodesYAML(1, 3) + serviceYAML("web", global, "10.1.0.1"))
		r.kube.Kubectl("", "delete", "node", "n30")
		r.wants("as it was", all...)
	})
	t.Run("a node goes while many others do not", func(t *testing.T) {
		r := r.of(t)
		var names []string
		for i := 5; i < 25; i++ {
			names = append(names, fmt.Sprintf("n%d", i))
		}
		r.kube.Kubectl("", append([]string{"delete", "node"}, names...)...)
		r.wants("what is watched to go is never held", append(nodeKeys(0, 5), serviceKeys("web")...)...)
		r.apply(nodesYAML(5, 25))
		r.wants("as it was", all...)
	})
	t.Run("comes back with an empty store", func(t *testing.T) {
		r := r.of(t)
		r.kube.Lose()
		r.degraded(s, "is not allowed") // the role is lost too
		r.allow()
		r.degraded(s, "25 of 25 objects of kind Node are not in the list, and stay: the API has another store than before", "--allow-shrink",
			"1 of 2 objects of kind Service") // however few
		unchanged(r)
		r.kube.Kubectl("", "create", "namespace", "shop")
		r.apply(nodesYAML(40, 41))
		r.wants("what is new is taken", append(all, "export/nodes/n40")...)
		r.kube.Kubectl("", "delete", "node", "n40")
		r.wants("and goes as always", all...)
		unchanged(r)
	})
	t.Run("a new process, and the store is still empty", func(t *testing.T) {
		r := r.of(t)
		s.stop()
		r.as = direct
		s := r.serve("n0", source.Shrink{})
		r.degraded(s, "stored keys that nobody wants stay: the API has another store than the one of which all this was stored", "allow it with --allow-shrink")
		r.install()
		r.until("it has read everything", func() bool { return len(s.Status().Source.Problems) == 0 })
		r.wants("nothing goes", all...)
		s.stop()
	})
	t.Run("it is allowed", func(t *testing.T) {
		r := r.of(t)
		r.as = direct
		s := r.serve("n0", source.Shrink{Allow: true})
		r.wants("all go")
		r.well(s)
		s.stop()
	})
}

// compact forgets the history of the store of Kubernetes.
func (r *rig) compact() {
	r.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: r.kube.Etcd.Config.Listen, Logger: zap.NewNop()})
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	now, err := c.Get(r.Context(), "none")
	if err != nil {
		r.Fatal(err)
	}
	if _, err := c.Compact(r.Context(), now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		r.Fatal(err)
	}
}

// What another store lacks goes when the hold time is over, or comes back.
func TestHold(t *testing.T) {
	r := newRig(t, kubetest.Config{})
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 3))
	s := r.serve("n0", source.Shrink{Hold: 15 * time.Second})
	r.wants("stored", nodeKeys(0, 3)...)
	r.well(s)
	r.kube.Lose()
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 1))
	r.degraded(s, "2 of 3 objects of kind Node are not in the list, and stay: the API has another store", "that is believed at")
	r.wants("the others go", nodeKeys(0, 1)...)
	r.well(s)
}

// What an API server stored is held also when it starts anew while the API has another
// store, however little that lacks.
func TestHoldAfterRestart(t *testing.T) {
	r := newRig(t, kubetest.Config{})
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 3))
	s := r.serve("n0", source.Shrink{})
	r.wants("stored", nodeKeys(0, 3)...)
	r.until("so is of which store they are", func() bool { return r.stored()["private/origin"] != "" })
	of := r.stored()["private/origin"]
	r.well(s)
	s.stop()
	r.kube.Kubectl("", "delete", "node", "n2")
	s = r.serve("n0", source.Shrink{})
	r.wants("what went while nobody looked goes", nodeKeys(0, 2)...)
	s.stop()
	r.kube.Lose()
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 1))
	for range 2 { // one hold does not make the store another
		s = r.serve("n0", source.Shrink{})
		r.degraded(s, "1 stored keys that nobody wants stay: the API has another store than the one of which all this was stored", "allow it with --allow-shrink")
		r.wants("it stays", nodeKeys(0, 2)...)
		s.stop()
	}
	s = r.serve("n0", source.Shrink{Hold: time.Second})
	r.wants("it goes", nodeKeys(0, 1)...)
	r.until("the other store is believed", func() bool { return r.stored()["private/origin"] != of })
	r.well(s)
	s.stop()
	r.kube.Kubectl("", "delete", "node", "n0")
	s = r.serve("n0", source.Shrink{})
	r.wants("and is the one of before from now on")
	r.well(s)
}
