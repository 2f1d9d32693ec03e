// Package plan works out what a lab consists of: its machines, the addresses
// they have, the wires between them and the routes that exist before any
// routing protocol speaks.
//
// New is a pure function of a Config: the same configuration gives the same
// plan on every machine and in every process, so that whoever knows the name
// and the size of a lab knows each address in it. Nothing here touches the
// system; deploy/lab carries a plan out.
//
// Every cluster has a top-of-rack router. The cluster's nodes hang on the
// router's bridge, pods hang on their node by a wire of their own, the routers
// are linked with each other, each with each, and the client hangs on all of
// them. No plan holds a route to pods beyond their own node: those come from
// BGP or not at all.
package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
)

// Bounds of a lab; the addresses are cut for them.
const (
	MaxClusters = 15 // a /28 of 203.0.113.0/24 each
	MaxNodes    = 50
	MaxPods     = 26 // a letter each
)

// Port is where every pod answers, over TCP (HTTP) and UDP.
const Port = 8080

// Config says how large a lab is and what it is called.
type Config struct {
	// Lab is the lab's name, unique on the machine: lower-case letters and
	// digits. It holds no dash, so that no lab's prefix begins another's.
	Lab string `json:"lab"`
	// Dir holds the lab's state.
	Dir string `json:"dir"`
	// Clusters, Nodes (of a cluster) and Pods (of a node) are the numbers of them.
	Clusters int `json:"clusters"`
	Nodes    int `json:"nodes"`
	Pods     int `json:"pods"`
	// Router is the implementation of the routers: builtin, frr or bird.
	Router string `json:"router"`
	// Family is what nodes speak BGP over with their router, ipv4 or ipv6; empty
	// is ipv4. Either way a session carries routes of both families.
	Family string `json:"family,omitempty"`
	// Maps is the size of the agents' maps, small or default; empty is small.
	Maps string `json:"maps,omitempty"`
	// Password is the key of TCP MD5 (RFC 2385) of the sessions between nodes and
	// their router; empty is none.
	Password string `json:"password,omitempty"`
	// Kubernetes is the directory with the programs of a control plane; with it
	// each cluster has one, whose pods the nodes run. Empty: objects are manifests.
	Kubernetes string `json:"kubernetes,omitempty"`
	// ExternalEtcd keeps each cluster's etcd in a process of its own, which outlives
	// the API server.
	ExternalEtcd bool `json:"externalEtcd,omitempty"`
}

var (
	labName  = regexp.MustCompile(`^[a-z0-9]{1,20}$`)
	password = regexp.MustCompile(`^[A-Za-z0-9]{0,80}$`)
)

// PasswordFile is where a cluster's nodes find the password; empty without one.
func (c Config) PasswordFile(cluster string) string {
	if c.Password == "" {
		return ""
	}
	return filepath.Join(c.Dir, "clusters", cluster, "bgp.key")
}

// maxDir keeps the paths of unix sockets below Dir inside of the 107 bytes
// that the kernel takes.
const maxDir = 60

// ValidName says whether a lab can have this name.
func ValidName(name string) error {
	if !labName.MatchString(name) {
		return fmt.Errorf("lab name %q: want 1 to 20 lower-case letters and digits", name)
	}
	return nil
}

// Validate reports every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	errs = append(errs, ValidName(c.Lab))
	between := func(what string, n, limit int) {
		if n < 1 || n > limit {
			errs = append(errs, fmt.Errorf("%d %s: want 1 to %d", n, what, limit))
		}
	}
	between("clusters", c.Clusters, MaxClusters)
	between("nodes", c.Nodes, MaxNodes)
	between("pods", c.Pods, MaxPods)
	switch c.Router {
	case "builtin", "frr", "bird":
	default:
		errs = append(errs, fmt.Errorf("router %q: want builtin, frr or bird", c.Router))
	}
	if c.Family != "" && c.Family != "ipv4" && c.Family != "ipv6" {
		errs = append(errs, fmt.Errorf("family %q: want ipv4 or ipv6", c.Family))
	}
	if c.Maps != "" && c.Maps != "small" && c.Maps != "default" {
		errs = append(errs, fmt.Errorf("maps %q: want small or default", c.Maps))
	}
	// FRR and BIRD have it as a word of their configuration.
	if !password.MatchString(c.Password) {
		errs = append(errs, errors.New("BGP password: want at most 80 letters and digits"))
	}
	if !filepath.IsAbs(c.Dir) || len(c.Dir) > maxDir {
		errs = append(errs, fmt.Errorf("state directory %q: want an absolute path of at most %d bytes", c.Dir, maxDir))
	}
	return errors.Join(errs...)
}

// Plan is a whole lab.
type Plan struct {
	Config
	Clusters []Cluster `json:"members"`
	Client   Client    `json:"client"`
}

// Cluster is one cluster of a lab.
type Cluster struct {
	Name string `json:"name"`
	ID   uint16 `json:"id"`
	// ASN is that of the cluster's nodes; the router has its own.
	ASN uint32 `json:"asn"`
	// PodCIDR holds the prefixes of all nodes' pods.
	PodCIDR  Nets `json:"podCIDR"`
	NodeCIDR Nets `json:"nodeCIDR"`
	// ServiceCIDR is the same in all clusters.
	ServiceCIDR Nets `json:"serviceCIDR"`
	// LoadBalancerCIDR is this cluster's part of the documentation prefixes.
	LoadBalancerCIDR Nets   `json:"loadBalancerCIDR"`
	Router           Router `json:"router"`
	Nodes            []Node `json:"nodes"`
}

// Router is a cluster's top-of-rack router.
type Router struct {
	Name string `json:"name"`
	ASN  uint32 `json:"asn"`
	// Addresses are those in the cluster's node network; the IPv4 one is the
	// router id too.
	Addresses Addrs `json:"addresses"`
	// Neighbors are the routers that speak BGP with this one over a link.
	Neighbors []Neighbor `json:"neighbors"`
}

// Neighbor is another router as one router sees it.
type Neighbor struct {
	Name      string `json:"name"`
	ASN       uint32 `json:"asn"`
	Interface string `json:"interface"`
	// Local and Remote are the addresses of the two ends of the link.
	Local  Addrs `json:"local"`
	Remote Addrs `json:"remote"`
}

// Node is a node of a cluster.
type Node struct {
	Name      string `json:"name"`
	Addresses Addrs  `json:"addresses"`
	PodCIDR   Nets   `json:"podCIDR"`
	Pods      []Pod  `json:"pods"`
}

// Client is the external client: one address on each router's link.
type Client struct {
	Name      string  `json:"name"`
	Addresses []Addrs `json:"addresses"`
}

// clusterNames are those of the first clusters; later ones have a number.
var clusterNames = []string{"east", "west", "north", "south"}

// New works out the plan of a lab.
func New(c Config) (Plan, error) {
	if err := c.Validate(); err != nil {
		return Plan{}, err
	}
	p := Plan{Config: c, Client: Client{Name: "client"}}
	for i := 1; i <= c.Clusters; i++ {
		p.Clusters = append(p.Clusters, cluster(c, i))
		p.Client.Addresses = append(p.Client.Addresses, clientAddrs(i))
	}
	for i := range p.Clusters {
		p.Clusters[i].Router.Neighbors = neighbors(p.Clusters, i)
	}
	return p, nil
}

func cluster(c Config, i int) Cluster {
	name := fmt.Sprintf("cluster%d", i)
	if i <= len(clusterNames) {
		name = clusterNames[i-1]
	}
	out := Cluster{
		Name: name, ID: uint16(i), ASN: 64512 + uint32(i),
		PodCIDR:          nets(fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("fd00:10:%x::/48", i)),
		NodeCIDR:         nets(fmt.Sprintf("172.20.%d.0/24", i), fmt.Sprintf("fd00:20:%x::/64", i)),
		ServiceCIDR:      nets("10.96.0.0/16", "fd00:96::/112"),
		LoadBalancerCIDR: nets(fmt.Sprintf("203.0.113.%d/28", 16*i), fmt.Sprintf("2001:db8:113:%x::/64", i)),
	}
	out.Router = Router{Name: "router-" + name, ASN: 65000 + uint32(i),
		Addresses: out.NodeCIDR.addrs(254)}
	for n := 1; n <= c.Nodes; n++ {
		out.Nodes = append(out.Nodes, node(c, out, n))
	}
	return out
}

func node(c Config, of Cluster, n int) Node {
	out := Node{
		Name:      fmt.Sprintf("%s-%d", of.Name, n),
		Addresses: of.NodeCIDR.addrs(n),
		PodCIDR:   nets(fmt.Sprintf("10.%d.%d.0/24", of.ID, n), fmt.Sprintf("fd00:10:%x:%x::/64", of.ID, n)),
	}
	if c.Kubernetes == "" {
		out.Pods = out.FirstPods(c.Pods)
	}
	return out
}

// FirstPods are those that a node has from the start. With Kubernetes they are
// objects first, and the plan's once the node runs them.
func (n Node) FirstPods(count int) []Pod {
	var out []Pod
	for i := range count {
		out = append(out, n.pod(i))
	}
	return out
}

// clientAddrs and routerToClient are the two ends of the client's link to the
// router of cluster i.
func clientAddrs(i int) Addrs    { return ClientNet(i).addrs(2) }
func routerToClient(i int) Addrs { return ClientNet(i).addrs(1) }

// ClientNet is the network of the client's link to the router of cluster i, from 1.
func ClientNet(i int) Nets {
	return nets(fmt.Sprintf("192.168.%d.0/24", i), fmt.Sprintf("fd00:168:%x::/64", i))
}

// neighbors are the other routers as the router of all[i] sees them.
func neighbors(all []Cluster, i int) []Neighbor {
	var out []Neighbor
	for j, c := range all {
		if j == i {
			continue
		}
		link := backbone(min(i, j), max(i, j))
		local, remote := link.addrs(1), link.addrs(2)
		if i > j {
			local, remote = remote, local
		}
		out = append(out, Neighbor{Name: c.Router.Name, ASN: c.Router.ASN, Interface: "to-" + c.Name, Local: local, Remote: remote})
	}
	return out
}

// backbone is the network of the link between two routers, i < j counted from
// zero: the links are numbered (0,1), (0,2), (1,2), (0,3), …, so that a larger
// lab keeps the numbers of a smaller one.
func backbone(i, j int) Nets {
	return nets(fmt.Sprintf("192.168.%d.0/30", 100+j*(j-1)/2+i), fmt.Sprintf("fd00:100:%x:%x::/64", i+1, j+1))
}

// Namespace is the name of a machine's network namespace, as `ip netns` shows it.
func (c Config) Namespace(machine string) string { return Prefix(c.Lab) + machine }

// Prefix begins the names of all namespaces of a lab.
func Prefix(lab string) string { return "tombolo-" + lab + "-" }

// Cluster returns the cluster of this name.
func (p Plan) Cluster(name string) (Cluster, bool) {
	for _, c := range p.Clusters {
		if c.Name == name {
			return c, true
		}
	}
	return Cluster{}, false
}

// prefix is shorthand for prefixes that are constant in form.
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
