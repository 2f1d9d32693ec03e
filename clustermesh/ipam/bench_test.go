package ipam

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// BenchmarkAllocate gives addresses to 100,000 services at once, of 10 pools of
// which each takes services by their label; then 1,000 go and 1,000 others come.
func BenchmarkAllocate(b *testing.B) {
	const services, pools, change = 100_000, 10, 1000
	var all []*clustermesh.Pool
	for i := range pools {
		p := &clustermesh.Pool{Name: fmt.Sprint("p", i), AutoAssign: true}
		first := netip.AddrFrom4([4]byte{10, byte(i), 0, 0})
		p.Ranges = []clustermesh.AddrRange{{First: first, Last: netip.AddrFrom4([4]byte{10, byte(i), 255, 255})}}
		p.ServiceSelector.MatchLabels = map[string]string{"pool": p.Name}
		all = append(all, p)
	}
	svc := func(i int) Service {
		return Service{
			Name: clustermesh.ServiceName{Namespace: "shop", Name: fmt.Sprint("s", i)}, Created: time.Unix(int64(i), 0),
			Labels: map[string]string{"pool": fmt.Sprint("p", i%pools)}, Ports: []clustermesh.ClaimedPort{{Protocol: clustermesh.TCP, Port: 80}},
			Request: clustermesh.AddressRequest{Families: clustermesh.IPv4},
		}
	}
	var whole, some time.Duration
	for b.Loop() {
		al := New(0)
		start := time.Now()
		al.SetPools(all)
		for i := range services {
			al.Set(svc(i))
		}
		al.Settle(time.Unix(1e9, 0))
		whole += time.Since(start)
		if changed, _ := al.Changes(); len(changed) != services || len(al.Troubled()) > 0 {
			b.Fatalf("%d services have addresses, %d lack some", len(changed), len(al.Troubled()))
		}
		start = time.Now()
		for i := range change {
			al.Delete(svc(i).Name, time.Unix(1e9+int64(i), 0))
			al.Set(svc(services + i))
			al.Settle(time.Unix(1e9+int64(i), 0))
		}
		some += time.Since(start)
	}
	b.ReportMetric(whole.Seconds()/float64(b.N), "s/all")
	b.ReportMetric(float64(some.Microseconds())/float64(change*b.N), "us/change")
}
