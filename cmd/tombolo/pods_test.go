package main

import (
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/pods"
)

func TestPodsTable(t *testing.T) {
	var out strings.Builder
	err := podsTable(&agent.PodList{Pods: []pods.Pod{
		{UID: "u1", Name: "demo/echo-1", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00::1")}, Cgroup: "/kubepods.slice/pod1"},
		{UID: "u2", Name: "kube-system/proxy", HostNetwork: true},
	}}).print(&out)
	want := `POD                UID  ADDRESSES         CGROUP
demo/echo-1        u1   10.1.0.1,fd00::1  /kubepods.slice/pod1
kube-system/proxy  u2   the node's        -
`
	if got := out.String(); err != nil || got != want {
		t.Errorf("got\n%s, %v, want\n%s", got, err, want)
	}
}
