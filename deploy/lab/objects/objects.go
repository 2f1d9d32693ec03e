// Package objects writes the Kubernetes objects of a lab's clusters as YAML:
// those that every cluster of a lab has (nodes, pods, the service demo/echo,
// peers, BGP), and how one file of several documents is split into objects.
//
// The templates beside this file are ordinary manifests and the place to look
// at what a cluster of a lab is told.
package objects

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"text/template"

	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
)

//go:embed *.yaml
var files embed.FS

// templates are parsed when the program starts; that they parse is tested.
var templates = template.Must(template.New("").Funcs(template.FuncMap{"placed": placed}).ParseFS(files, "*.yaml"))

// Namespace and Echo name the service that every cluster has from the start.
const (
	Namespace = "demo"
	Echo      = "echo"
	EchoPort  = 80
)

// EchoAddresses are the ClusterIPs of demo/echo, the same in every cluster.
func EchoAddresses(c plan.Cluster) plan.Addrs { return c.ServiceCIDR.Addr(80) }

// PeerFiles returns the directory with the certificates of a cluster.
type PeerFiles func(cluster string) pki.Dir

// EtcdURL is where a cluster's etcd listens: on its first node.
func EtcdURL(c plan.Cluster) string {
	return "https://" + netip.AddrPortFrom(c.Nodes[0].Addresses.IPv4, 2379).String()
}

// Base returns what a cluster has from the start. All nodes of a lab run on one
// kernel, whose boot id is given.
func Base(p plan.Plan, c plan.Cluster, certs PeerFiles, bootID string) ([]byte, error) {
	machines, err := render("machines.yaml", struct {
		plan.Cluster
		BootID string
	}{c, bootID})
	if err != nil {
		return nil, err
	}
	mesh, err := meshOf(p, c, certs)
	if err != nil {
		return nil, err
	}
	echo, err := Service{Name: Echo, Addresses: EchoAddresses(c)}.YAML(c)
	return bytes.Join([][]byte{machines, mesh, echo}, []byte("---\n")), err
}

// Kubernetes returns what a cluster with a control plane is told at the start:
// nodes, the status of pods, and endpoint slices come by themselves.
func Kubernetes(p plan.Plan, c plan.Cluster, certs PeerFiles) ([]byte, error) {
	mesh, err := meshOf(p, c, certs)
	if err != nil {
		return nil, err
	}
	echo, err := Service{Name: Echo, Addresses: EchoAddresses(c)}.Alone(c)
	if err != nil {
		return nil, err
	}
	all := [][]byte{mesh, echo}
	for _, n := range c.Nodes {
		for _, pod := range n.FirstPods(p.Pods) {
			raw, err := BoundPod(n.Name, pod.Name, pod.App)
			if err != nil {
				return nil, err
			}
			all = append(all, raw)
		}
	}
	return bytes.Join(all, []byte("---\n")), nil
}

// meshOf returns what joins a cluster to the others and to its router.
func meshOf(p plan.Plan, c plan.Cluster, certs PeerFiles) ([]byte, error) {
	type peer struct {
		Name, URL string
		TLS       pki.Dir
	}
	var peers []peer
	for _, other := range p.Clusters {
		if other.Name != c.Name {
			peers = append(peers, peer{other.Name, EtcdURL(other), certs(other.Name)})
		}
	}
	return render("mesh.yaml", struct {
		plan.Cluster
		Peers        []peer
		User         string
		Speaker      netip.Addr
		PasswordFile string
	}{c, peers, pki.Peer, speaker(p, c), p.PasswordFile(c.Name)})
}

// speaker is where a cluster's router speaks BGP with the nodes.
func speaker(p plan.Plan, c plan.Cluster) netip.Addr {
	if p.Family == "ipv6" {
		return c.Router.Addresses.IPv6
	}
	return c.Router.Addresses.IPv4
}

// Service is a service of a lab, behind which stand the cluster's pods of the
// app echo.
type Service struct {
	Name string
	// Addresses are its ClusterIPs.
	Addresses plan.Addrs
	// LoadBalancer are the addresses of a LoadBalancer service; zero for a
	// ClusterIP service.
	LoadBalancer plan.Addrs
	// Affinity is local, remote, or empty for none.
	Affinity string
	// NotReady names the pods that are not ready.
	NotReady []string
	// Terminating names the pods that are ending and still serve.
	Terminating []string
	// Annotations besides those of the other fields.
	Annotations map[string]string
	// AllNotReady: none is.
	AllNotReady bool
}

// Alone returns the service without endpoint slices and without a status, for where
// controllers make them. It asks the pool of the cluster for its addresses.
func (s Service) Alone(c plan.Cluster) ([]byte, error) {
	if lb := s.LoadBalancer; lb.IPv4.IsValid() {
		s.Annotations = maps.Clone(s.Annotations)
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations["tombolo.io/load-balancer-ips"] = lb.IPv4.String() + "," + lb.IPv6.String()
	}
	return render("service.yaml", struct {
		Service
		Cluster plan.Cluster
		Slices  []slice
		Port    int
	}{s, c, nil, EchoPort})
}

// Pool returns the pool of a cluster's load-balancer addresses.
func Pool(c plan.Cluster) ([]byte, error) { return render("pool.yaml", c) }

// YAML returns the service and its endpoint slices.
func (s Service) YAML(c plan.Cluster) ([]byte, error) {
	return render("service.yaml", struct {
		Service
		Cluster plan.Cluster
		Slices  []slice
		Port    int
	}{s, c, s.slices(c), EchoPort})
}

type slice struct {
	Family    string
	Endpoints []endpoint
}

type endpoint struct {
	Address  netip.Addr
	Pod, UID string
	Node     string
	Ready    bool
	// Terminating pods are not ready and serve.
	Terminating bool
}

// Serving is what Kubernetes says beside ready.
func (e endpoint) Serving() bool { return e.Ready || e.Terminating }

func (s Service) slices(c plan.Cluster) []slice {
	out := []slice{{Family: "IPv4"}, {Family: "IPv6"}}
	for _, n := range c.Nodes {
		for _, p := range n.Pods {
			if p.App != plan.EchoApp {
				continue
			}
			ending := slices.Contains(s.Terminating, p.Name)
			ready := !s.AllNotReady && !ending && !slices.Contains(s.NotReady, p.Name)
			for i, a := range p.Addresses.List() {
				out[i].Endpoints = append(out[i].Endpoints, endpoint{Address: a, Pod: p.Name, UID: p.UID, Node: n.Name, Ready: ready, Terminating: ending})
			}
		}
	}
	return out
}

func render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("writing the objects of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// on is a pod and where it runs.
type on struct {
	plan.Pod
	Node string
}

func placed(node string, pod plan.Pod) on { return on{pod, node} }

// Pod returns a pod of a node.
func Pod(node string, pod plan.Pod) ([]byte, error) { return render("pod.yaml", placed(node, pod)) }

// DemoNamespace returns the namespace of the pods and of demo/echo.
func DemoNamespace() []byte {
	return []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + Namespace + "}\n")
}

// BoundPod returns a pod that is bound to a node and that nothing runs yet.
func BoundPod(node, name, app string) ([]byte, error) {
	return render("boundpod.yaml", struct{ Node, Name, App string }{node, name, app})
}

// EchoSlices returns the endpoint slices of demo/echo alone.
func EchoSlices(c plan.Cluster) ([]byte, error) {
	s := Service{Name: Echo}
	return render("slices.yaml", struct {
		Service
		Cluster plan.Cluster
		Slices  []slice
	}{s, c, s.slices(c)})
}
