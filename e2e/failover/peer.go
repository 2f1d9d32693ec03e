package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// The peer is what Kubernetes does by itself: kube-proxy's rules in nftables,
// from which a dead node's endpoints go when its lease has run out. A node renews
// its lease every 10 s; who did not for 40 s is found dead by a look every 5 s.
const (
	leaseRenewed = 10 * time.Second
	leaseGrace   = 40 * time.Second
	leaseLooked  = 5 * time.Second
)

// peerAddress is the ClusterIP of the peer's service.
var peerAddress = netip.MustParseAddrPort("10.96.0.200:80")

// peerRules puts the peer's service in front of the lab's pods, without those of
// a node, on the client's node.
func peerRules(t *trial, without string) error {
	var b strings.Builder
	b.WriteString("table ip peer {}\ndelete table ip peer\ntable ip peer {\n")
	var choices []string
	for _, c := range t.Clusters {
		for _, n := range c.Nodes {
			for _, pod := range n.Pods {
				// A pod that asks itself would need its source translated too.
				if n.Name == without || pod.Name == client {
					continue
				}
				i := len(choices)
				choices = append(choices, fmt.Sprintf("%d : goto endpoint-%d", i, i))
				fmt.Fprintf(&b, "chain endpoint-%d { meta l4proto tcp dnat to %s:%d; }\n", i, pod.Addresses.IPv4, plan.Port)
			}
		}
	}
	fmt.Fprintf(&b, "chain prerouting {\ntype nat hook prerouting priority dstnat;\nip daddr %s tcp dport %d numgen random mod %d vmap { %s };\n}\n}\n",
		peerAddress.Addr(), peerAddress.Port(), len(choices), strings.Join(choices, ", "))
	c, err := t.Command(t.Clusters[0].Nodes[0].Name, []string{"nft", "-f", "-"})
	if err != nil {
		return err
	}
	var said bytes.Buffer
	if err := c.Run(strings.NewReader(b.String()), &said, &said); err != nil {
		return fmt.Errorf("writing the peer's rules: %w: %s", err, said.String())
	}
	return nil
}

// conntrackForgets keeps connection tracking from adding to the peer's figures: a
// client port that is used again within two minutes would otherwise be led to the
// backend that its last SYN was sent to, dead or not.
const conntrackForgets = "net.netfilter.nf_conntrack_tcp_timeout_syn_sent=3"

// peerStarts writes the rules, and lets the node that will lose power renew its
// lease until the trial ends.
func peerStarts(t *trial) error {
	if err := peerRules(t, ""); err != nil {
		return err
	}
	node, err := sandbox.OpenNet(t.Namespace(t.Clusters[0].Nodes[0].Name))
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Sysctl(conntrackForgets); err != nil {
		return err
	}
	c, ok := t.Cluster("west")
	if !ok {
		return fmt.Errorf("the lab has no cluster west")
	}
	server := strings.TrimPrefix(objects.EtcdURL(c), "https://")
	t.lease = &atomic.Int64{}
	t.lease.Store(time.Now().UnixNano())
	go func() {
		renew := func() error {
			conn, err := net.DialTimeout("tcp", server, time.Second)
			if err != nil {
				return err
			}
			return conn.Close()
		}
		for t.wait(leaseRenewed) == nil {
			if sandbox.In(t.Namespace("west-2"), renew) == nil {
				t.lease.Store(time.Now().UnixNano())
			}
		}
	}()
	return nil
}

// peerNotices cuts the node off and does what the node controller does.
func peerNotices(t *trial) error {
	if err := t.cut(powerOff("west-2")); err != nil {
		return err
	}
	for {
		if err := t.wait(leaseLooked); err != nil {
			return err
		}
		if time.Since(time.Unix(0, t.lease.Load())) > leaseGrace {
			return peerRules(t, "west-2")
		}
	}
}
