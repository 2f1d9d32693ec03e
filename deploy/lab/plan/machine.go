package plan

import "fmt"

// Kind is what a machine is in the lab.
type Kind string

// The kinds.
const (
	KindNode   Kind = "node"
	KindPod    Kind = "pod"
	KindRouter Kind = "router"
	KindClient Kind = "client"
)

// Machine is one network namespace with the processes in it.
type Machine struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Cluster is empty for the client.
	Cluster string `json:"cluster,omitempty"`
	// Node is the node that a pod runs on: its processes are in that node's cgroup.
	Node      string  `json:"node,omitempty"`
	Addresses []Addrs `json:"addresses"`
}

// Cgroup is the machine's cgroup below the lab's own. A pod's lies within its
// node's: what is attached to a node's cgroup sees the sockets of its pods.
func (m Machine) Cgroup() string {
	switch m.Kind {
	case KindPod:
		return m.Node + "/" + m.Name
	case KindNode:
		return m.Name + "/system"
	}
	return m.Name
}

// NodeCgroup is the cgroup of a whole node below the lab's own.
func NodeCgroup(node string) string { return node }

// Machines returns all machines: each router, its nodes and their pods, and
// the client last.
func (p Plan) Machines() []Machine {
	var out []Machine
	for _, c := range p.Clusters {
		out = append(out, Machine{Name: c.Router.Name, Kind: KindRouter, Cluster: c.Name, Addresses: []Addrs{c.Router.Addresses}})
		for _, n := range c.Nodes {
			out = append(out, Machine{Name: n.Name, Kind: KindNode, Cluster: c.Name, Addresses: []Addrs{n.Addresses}})
			for _, pod := range n.Pods {
				out = append(out, Machine{Name: pod.Name, Kind: KindPod, Cluster: c.Name, Node: n.Name, Addresses: []Addrs{pod.Addresses}})
			}
		}
	}
	return append(out, Machine{Name: p.Client.Name, Kind: KindClient, Addresses: p.Client.Addresses})
}

// Machine returns the machine of this name; the error lists nothing, since
// `lab status` does.
func (p Plan) Machine(name string) (Machine, error) {
	for _, m := range p.Machines() {
		if m.Name == name {
			return m, nil
		}
	}
	return Machine{}, fmt.Errorf("lab %q has no machine %q; tombolo lab status lists them", p.Lab, name)
}
