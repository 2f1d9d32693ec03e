package kubernetes

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/internal/kubetest"
)

func poolYAML(name, addresses string) string {
	return fmt.Sprintf("---\napiVersion: tombolo.io/v1alpha1\nkind: AddressPool\nmetadata: {name: %s}\nspec: {addresses: [%s]}\n", name, addresses)
}

// balancerYAML is a Service of type LoadBalancer; more follows in its spec.
func balancerYAML(name, annotations, more string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop, annotations: {%s}}\nspec: {type: LoadBalancer, ports: [{port: 80}]%s}\n",
		name, annotations, more)
}

const ours = ", loadBalancerClass: tombolo.io/bgp"

// look returns what kubectl says of a service.
func (r *rig) look(service, path string) string {
	r.Helper()
	return r.kube.Kubectl("", "-n", "shop", "get", "service", service, "-o", "jsonpath="+path)
}

// has waits until services have addresses as kubectl sees them: "web=198.51.100.1",
// "web=" for none.
func (r *rig) has(what string, pairs ...string) {
	r.Helper()
	r.until(what, func() bool {
		for _, p := range pairs {
			name, want, _ := strings.Cut(p, "=")
			if got := r.look(name, "{.status.loadBalancer.ingress[*].ip}"); got != want {
				return false
			}
		}
		return true
	})
}

const conditionsPath = `{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}`

// conditions waits for a condition of a service.
func (r *rig) says(service, want string) {
	r.Helper()
	r.until(service+" says "+want, func() bool { return strings.Contains(r.look(service, conditionsPath), want) })
}

// happened waits for an event on a service.
func (r *rig) happened(service, want string) {
	r.Helper()
	r.until("an event on "+service+": "+want, func() bool {
		return slices.ContainsFunc(r.events(service), func(e string) bool { return strings.HasPrefix(e, want) })
	})
}

// writes returns how often the status of a service was written.
func (r *rig) writes(service string) (n int) {
	for _, q := range r.kube.Requests(account) {
		if q.Verb == "patch" && q.Resource == "services" && q.Subresource == "status" && (service == "" || q.Name == service) {
			n++
		}
	}
	return n
}

// addresses is the short life of a service with an address.
func addresses(r *rig, all []string) {
	r.apply(poolYAML("few", "198.51.100.9/32") + balancerYAML("front", "", ours))
	r.has("its address is in its status", "front=198.51.100.9")
	if got := r.look("front", "{.status.loadBalancer.ingress[0].ipMode}"); got != "VIP" {
		r.Errorf("its mode is %q", got)
	}
	r.says("front", "tombolo.io/Addresses=True Given: it has 198.51.100.9")
	r.happened("front", "Normal Given 1 true it has 198.51.100.9")
	r.kube.Kubectl("", "-n", "shop", "delete", "service", "front")
	r.kube.Kubectl("", "delete", "addresspool", "few")
	r.wants("nothing is left", all...)
}

// What kubectl alone sees of load-balancer addresses, each step after the other, while
// one API server follows another.
func TestBalancer(t *testing.T) {
	r := newRig(t, kubetest.Config{Audit: true})
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 1))
	r.apply(poolYAML("public", `"198.51.100.1-198.51.100.2"`))
	r.apply(balancerYAML("a", "", ours))
	n := 0
	next := func() *server { n++; return r.serve(fmt.Sprintf("api%d", n), source.Shrink{}) }
	s := next()

	t.Run("a pool gives, until it is full", func(t *testing.T) {
		r := r.of(t)
		r.has("the first", "a=198.51.100.1")
		r.apply(balancerYAML("b", "", ""))
		r.has("one without a class", "b=198.51.100.2")
		r.apply(balancerYAML("c", "", ours))
		r.says("c", "tombolo.io/Addresses=False PoolFull: pool public has no IPv4 address left")
		r.happened("c", "Warning PoolFull 1 true pool public has no IPv4 address left")
		r.happened("b", "Normal Given 1 true it has 198.51.100.2")
	})
	t.Run("another leads, and what is freed is given", func(t *testing.T) {
		r := r.of(t)
		second := next()
		r.until("it stands by", func() bool { return second.Status().Ready() == nil && !second.Status().Leader })
		before := r.writes("a")
		s.stop()
		s = second
		r.until("it leads", func() bool { return s.Status().Leader && s.Status().Passed })
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "b")
		r.has("who waited has it", "a=198.51.100.1", "c=198.51.100.2")
		r.happened("c", "Normal Given 1 true it has 198.51.100.2")
		if got := r.writes("a"); got != before {
			t.Errorf("a status that did not change was written %d times more", got-before)
		}
		if got := len(r.events("c")); got != 2 {
			t.Errorf("c has %d events: %v", got, r.events("c"))
		}
	})
	t.Run("what another implementation wrote stays", func(t *testing.T) {
		r := r.of(t)
		r.apply(balancerYAML("theirs", "", ", loadBalancerClass: example.com/lb") + balancerYAML("classless", named("198.51.100.77"), ""))
		r.says("classless", "NotInPool")
		for service, ip := range map[string]string{"theirs": "203.0.113.1", "classless": "203.0.113.2"} {
			r.kube.Kubectl("", "-n", "shop", "patch", "service", service, "--subresource=status", "--type=merge", "-p",
				`{"status": {"loadBalancer": {"ingress": [{"ip": "`+ip+`"}]}}}`)
		}
		r.until("we say no more of it", func() bool { return r.look("classless", "{.status.conditions}") == "" })
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "c")
		r.apply(balancerYAML("c", "", ours))
		r.has("and others are served", "c=198.51.100.2", "theirs=203.0.113.1", "classless=203.0.113.2")
		if n := r.writes("theirs"); n != 0 {
			t.Errorf("the service of another class was written %d times", n)
		}
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "theirs", "classless")
	})
	t.Run("against another who writes as often, ours is written more and more seldom", func(t *testing.T) {
		r := r.of(t)
		before, overwrites := r.writes("a"), 0
		for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if r.look("a", "{.status.loadBalancer.ingress[*].ip}") == "203.0.113.3" {
				continue
			}
			overwrites++
			r.kube.Kubectl("", "-n", "shop", "patch", "service", "a", "--subresource=status", "--type=merge", "-p",
				`{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.3"}]}}}`)
		}
		if n := r.writes("a") - before; n < 2 || n > 4 || overwrites < 3 {
			t.Errorf("of %d overwrites %d were mended within 8 s", overwrites, n)
		}
		r.happened("a", `Warning Overwritten 1 true the field manager "kubectl-patch" changes what we write`)
		r.has("in the end ours is there", "a=198.51.100.1")
	})
	t.Run("a service that leaves says nothing of us", func(t *testing.T) {
		r := r.of(t)
		r.kube.Kubectl("", "-n", "shop", "patch", "service", "a", "--type=merge", "-p", `{"spec": {"type": "ClusterIP", "loadBalancerClass": null}}`)
		r.until("nothing is left in its status", func() bool { return r.look("a", "{.status}") == `{"loadBalancer":{}}` })
		s.stop()
		r.kube.Kubectl("", "-n", "shop", "patch", "service", "c", "--type=merge", "-p", `{"spec": {"type": "ClusterIP", "loadBalancerClass": null}}`)
		r.kube.Kubectl("", "-n", "shop", "patch", "service", "c", "--type=merge", "-p", `{"spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/lb"}}`)
		if got := r.look("c", conditionsPath); got == "" {
			t.Error("who took it out while nobody led?")
		}
		s = next()
		r.until("one that left while nobody led neither", func() bool { return r.look("c", "{.status}") == `{"loadBalancer":{}}` })
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "c")
	})
	t.Run("a wrong annotation changes nothing, whoever leads", func(t *testing.T) {
		r := r.of(t)
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "a")
		r.apply(balancerYAML("zoo", named("198.51.100.2"), ours))
		r.has("zoo has the second", "zoo=198.51.100.2")
		r.apply(balancerYAML("zoo", named("198.51.100.2")+`, tombolo.io/global: "perhaps"`, ours))
		r.happened("zoo", "Warning InvalidAnnotation")
		s.stop()
		s = next()
		r.degraded(s, "Service shop/zoo")
		r.apply(balancerYAML("yak", "", ours))
		r.has("it keeps what it has", "yak=198.51.100.1", "zoo=198.51.100.2")
		r.apply(balancerYAML("zoo", "", ours))
		r.well(s)
	})
	t.Run("the store is lost, and statuses say who has what", func(t *testing.T) {
		r := r.of(t)
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "yak")
		r.until("it is given back", func() bool { return !slices.Contains(r.keys(), "private/addresses/198.51.100.1") })
		s.stop()
		r.apply(balancerYAML("early", "", ours) + balancerYAML("odd", "", ours)) // early would have the first that is free
		r.kube.Kubectl("", "-n", "shop", "patch", "service", "odd", "--subresource=status", "--type=merge", "-p",
			`{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.66"}]}}}`)
		there := *r
		there.newStore()
		s := there.serve("other", source.Shrink{})
		there.has("zoo has what it had, and odd not what others wrote to it", "zoo=198.51.100.2", "early=198.51.100.1", "odd=")
		there.says("odd", "PoolFull")
		r.kube.Kubectl("", "-n", "shop", "delete", "service", "odd")
		there.well(s)
		s.stop()
	})
}

// named asks for an address.
func named(ip string) string { return `tombolo.io/load-balancer-ips: "` + ip + `"` }

// given returns the addresses of all services of the namespace storm, and fails if
// two have one.
func (r *rig) given() map[string]netip.Addr {
	r.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				LoadBalancer struct{ Ingress []struct{ IP netip.Addr } }
			}
		}
	}
	if err := json.Unmarshal(r.ask("GET", "/api/v1/namespaces/storm/services", nil), &list); err != nil {
		r.Fatal(err)
	}
	out, of := map[string]netip.Addr{}, map[netip.Addr]string{}
	for _, s := range list.Items {
		for _, in := range s.Status.LoadBalancer.Ingress {
			if other := of[in.IP]; other != "" {
				r.Fatalf("%s has been given to %s and to %s", in.IP, other, s.Metadata.Name)
			}
			of[in.IP], out[s.Metadata.Name] = s.Metadata.Name, in.IP
		}
	}
	return out
}

// A thousand services of type LoadBalancer come and half of them go at the same time,
// while one leader follows another: no address is given twice, what is given stays,
// and in the end nothing is left.
func TestBalancerStorm(t *testing.T) {
	const many, at = 1000, "/api/v1/namespaces/storm/services"
	r := newRig(t, kubetest.Config{Controllers: true, Audit: true})
	r.allow()
	r.install()
	r.apply(namespaceYAML + nodesYAML(0, 1) + poolYAML("big", "198.18.0.0/20"))
	r.kube.Kubectl("", "create", "namespace", "storm")
	first := r.serve("api1", source.Shrink{})
	r.well(first)
	second := r.serve("api2", source.Shrink{})
	r.until("the second stands by", func() bool { return second.Status().Ready() == nil })
	var work errgroup.Group
	work.SetLimit(16)
	begin := time.Now()
	for i := range many {
		if i == many/2 {
			work.Go(func() error { first.stop(); return nil })
		}
		work.Go(func() error {
			name := fmt.Sprintf("s%d", i)
			r.ask("POST", at, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": %q},
				"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "loadBalancerClass": "tombolo.io/bgp", "selector": {"app": "none"}, "ports": [{"port": 80}]}}`, name))
			if i%2 == 1 {
				r.ask("DELETE", at+"/"+name, nil)
			}
			return nil
		})
	}
	before := map[string]netip.Addr{}
	check := func() map[string]netip.Addr {
		now := r.given()
		for name, ip := range before {
			if is, ok := now[name]; ok && is != ip {
				t.Fatalf("%s had %s and has %s", name, ip, is)
			}
		}
		maps.Copy(before, now)
		return now
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(50 * time.Millisecond):
			check()
		}
	}
	made := time.Since(begin)
	r.until("all that are left have one", func() bool { return len(check()) == many/2 })
	t.Logf("made within %v, all have addresses after %v, %d statuses written", made.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), r.writes(""))
	if n := r.writes(""); n > many*5/4 { // each once, but where a deletion or another leader came between
		t.Errorf("%d statuses were written of %d services", n, many)
	}
	r.kube.Kubectl("", "delete", "namespace", "storm", "--timeout=10m")
	r.wants("nothing is left", "export/nodes/n0", "private/pools/big")
	r.well(second)
	second.stop()
}
