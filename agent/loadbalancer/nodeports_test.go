package loadbalancer

import (
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// Node ports are at the node's addresses where they are to be served, follow it to
// others, and stay when its object goes.
func TestNodePorts(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.l.config.NodePorts = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	for i := range h.w.services[0] {
		h.w.services[0][i] = worldService{}
	}
	own := &h.w.services[0][0]
	*own = worldService{defined: true, weight: 100, ports: 1, vips: []int{0}, nodePorts: true}
	own.ready[0] = true
	served := func(what string, want ...netip.Addr) {
		t.Helper()
		h.drain(100)
		for _, moved := range []bool{false, true} {
			for _, v6 := range []bool{false, true} {
				a := worldNode(moved, v6)
				n, err := h.k.frontend(Frontend{netip.AddrPortFrom(a, worldNodePort(0, 0)), clustermesh.TCP, Sockets})
				if wanted := len(want) > 0 && want[0] == a; err != nil || (n != 0) != wanted {
					t.Errorf("%s: %v leads to service %d (%v)", what, a, n, err)
				}
			}
		}
	}
	h.tell(true)
	served("at first", worldNode(false, false))
	h.w.moved = true
	h.tell(false)
	served("moved", worldNode(true, false))
	node := clustermesh.KeyOf(clustermesh.Export, &clustermesh.Node{Name: "n0"}).String()
	h.l.take(view.Batch{Revision: h.w.revision, Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Delete, Key: node, Revision: h.w.revision}}})
	served("without its object", worldNode(true, false))
	own.nodePorts = false
	h.tell(false)
	served("without node ports")
}
