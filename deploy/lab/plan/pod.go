package plan

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// EchoApp is the label app of the pods that a lab has from the start: they are
// behind the service demo/echo.
const EchoApp = "echo"

// Pod is a pod of a node.
type Pod struct {
	Name string `json:"name"`
	// UID tells a pod from a later one that has its name or addresses.
	UID string `json:"uid"`
	// App is its label app.
	App       string `json:"app"`
	Addresses Addrs  `json:"addresses"`
	// Object names it among the objects of its cluster, "namespace/name"; empty
	// is demo/ and its name.
	Object string `json:"object,omitempty"`
}

// pod is the pod that a node has at the place i from the start.
func (n Node) pod(i int) Pod {
	name := fmt.Sprintf("%s-%c", n.Name, 'a'+i)
	return Pod{Name: name, UID: uid(name), App: EchoApp, Addresses: n.PodCIDR.addrs(10 + i)} // fd00:…::a is pod a
}

// podName is also the name of a network device, which has 15 bytes at most.
var podName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$`)

// AddPod adds a pod to a node, at the first addresses that no pod of the node
// has: those of one that was removed, if one was. An empty name is the one that
// a pod of these addresses has from the start, and an empty app is EchoApp. The
// uid comes from seed, which no other pod of this name had.
func (p *Plan) AddPod(node, name, app, seed string) (Pod, error) {
	n, err := p.node(node)
	if err != nil {
		return Pod{}, err
	}
	free, err := n.free()
	if err != nil {
		return Pod{}, err
	}
	pod := n.pod(free)
	if name != "" {
		pod.Name = name
	}
	if app != "" {
		pod.App = app
	}
	pod.UID = uid(pod.Name + " " + seed)
	if !podName.MatchString(pod.Name) {
		return Pod{}, fmt.Errorf("pod name %q: want 1 to 15 lower-case letters, digits and dashes", pod.Name)
	}
	if _, err := p.Machine(pod.Name); err == nil {
		return Pod{}, fmt.Errorf("lab %q has a machine %s already", p.Lab, pod.Name)
	}
	n.Pods = append(n.Pods, pod)
	return pod, nil
}

// free returns the first place of a node whose addresses no pod has.
func (n Node) free() (int, error) {
	for i := range MaxPods {
		if n.vacant(i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("node %s has %d pods already, and room for no more", n.Name, MaxPods)
}

func (n Node) vacant(i int) bool {
	return !slices.ContainsFunc(n.Pods, func(o Pod) bool { return o.Addresses == n.pod(i).Addresses })
}

// Bind adds a pod that Kubernetes bound to a node: object is its namespace and
// name. It is called what the object is where a machine can be called so and
// none is, and has the addresses of that name where they are free; otherwise
// the name of the first place that is free.
func (p *Plan) Bind(node, object, app, uid string) (Pod, error) {
	n, err := p.node(node)
	if err != nil {
		return Pod{}, err
	}
	place, err := n.free()
	if err != nil {
		return Pod{}, err
	}
	_, name, _ := strings.Cut(object, "/")
	for i := range MaxPods {
		if n.pod(i).Name == name && n.vacant(i) {
			place = i
		}
	}
	pod := n.pod(place)
	if _, err := p.Machine(name); err != nil && podName.MatchString(name) {
		pod.Name = name
	}
	if _, err := p.Machine(pod.Name); err == nil {
		return Pod{}, fmt.Errorf("pod %s cannot run: lab %q has a machine %s already", object, p.Lab, pod.Name)
	}
	pod.App, pod.UID, pod.Object = app, uid, object
	n.Pods = append(n.Pods, pod)
	return pod, nil
}

// RemovePod removes a pod, and returns it and its node as it is without it.
func (p *Plan) RemovePod(name string) (Pod, Node, error) {
	for i := range p.Clusters {
		for j := range p.Clusters[i].Nodes {
			n := &p.Clusters[i].Nodes[j]
			if k := slices.IndexFunc(n.Pods, func(o Pod) bool { return o.Name == name }); k >= 0 {
				pod := n.Pods[k]
				n.Pods = slices.Delete(n.Pods, k, k+1)
				return pod, *n, nil
			}
		}
	}
	return Pod{}, Node{}, fmt.Errorf("lab %q has no pod %q; tombolo lab status lists them", p.Lab, name)
}

// node finds a node, to be changed.
func (p *Plan) node(name string) (*Node, error) {
	for i := range p.Clusters {
		for j := range p.Clusters[i].Nodes {
			if n := &p.Clusters[i].Nodes[j]; n.Name == name {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("lab %q has no node %q; tombolo lab status lists them", p.Lab, name)
}

// uid makes a unique id in the form of a UUID.
func uid(seed string) string {
	h := sha256.Sum256([]byte(seed))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
