package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/kube"
)

const (
	kubeAdmin = kube.Admin
	slicesAt  = "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices"
	// writers fill the store side by side.
	writers = 64
)

// kubernetes is a kube-apiserver with a store of its own.
type kubernetes struct {
	dir    string
	store  *embedded.Server
	plane  kube.Plane
	server *exec.Cmd
	client *http.Client
}

// newKubernetes starts the store of a kube-apiserver.
func newKubernetes(ctx context.Context) (k *kubernetes, err error) {
	k = &kubernetes{}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	if k.dir, err = os.MkdirTemp("", "tombolo-bench-"); err != nil {
		return k, err
	}
	url, err := freeURL()
	if err != nil {
		return k, err
	}
	if k.store, err = embedded.Start(ctx, embedded.Config{Dir: k.dir + "/etcd", Listen: []string{url}, EpochKey: "epoch"}, quiet); err != nil {
		return k, err
	}
	listen, err := freeURL()
	if err != nil {
		return k, err
	}
	k.plane = kube.Plane{Dir: filepath.Join(k.dir, "kube"), Listen: netip.MustParseAddrPort(strings.TrimPrefix(listen, "http://")), Etcd: url,
		Services: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	if err := k.plane.Write(); err != nil {
		return k, err
	}
	k.client, err = k.plane.Access(kube.Admin).Client()
	return k, err
}

// start starts kube-apiserver and waits until it is ready.
func (k *kubernetes) start(ctx context.Context) error {
	path, err := kube.Program("bin", kube.APIServer)
	if err != nil {
		return err
	}
	server := exec.Command(path, k.plane.APIServer()...)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting kube-apiserver: %w", err)
	}
	k.server = server
	for k.ask(ctx, "GET", "/readyz", "", nil) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for kube-apiserver: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (k *kubernetes) close() error {
	if k.client != nil {
		k.client.CloseIdleConnections()
	}
	if k.server != nil {
		k.server.Process.Kill()
		k.server.Wait()
	}
	if k.store != nil {
		k.store.Stop()
	}
	return os.RemoveAll(k.dir)
}

// ask sends a request as the admin; one that is not granted is an error.
func (k *kubernetes) ask(ctx context.Context, method, path, contentType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, k.plane.URL()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return err
}

// fill writes nodes and services, each with a slice of endpoints, to the store,
// before kube-apiserver starts: a tenth of the time that its API would take.
func (k *kubernetes) fill(ctx context.Context, services, endpoints, nodes int) error {
	store, err := etcd.Dial(etcd.Config{Endpoints: []string{k.plane.Etcd}})
	if err != nil {
		return err
	}
	defer store.Close()
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(writers)
	put := func(key, value string) {
		work.Go(func() error { return store.Put(ctx, "/registry/"+key, []byte(value)) })
	}
	put("namespaces/bench", object("v1", "Namespace", "bench", 0, `"status": {"phase": "Active"}`))
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		put("minions/"+name, object("v1", "Node", name, i, nodeFields(i)))
	}
	for i := range services {
		name, address := fmt.Sprintf("service-%d", i), nth(netip.MustParseAddr("10.96.0.0"), i+10)
		put("services/specs/bench/"+name, object("v1", "Service", name, i, fmt.Sprintf(
			`"spec": {"type": "ClusterIP", "clusterIP": %[1]q, "clusterIPs": [%[1]q], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}`, address)))
		// Who has the address: else kube-apiserver would set out to write it.
		put("ipaddresses/"+address.String(), object("networking.k8s.io/v1", "IPAddress", address.String(), i, fmt.Sprintf(
			`"spec": {"parentRef": {"resource": "services", "namespace": "bench", "name": %q}}`, name)))
		put("endpointslices/bench/"+name+"-a", object("discovery.k8s.io/v1", "EndpointSlice", name+"-a", i, sliceFields(i, endpoints, nodes)))
	}
	return work.Wait()
}

// object is an object as JSON. What it has of labels and annotations is what its
// kind needs.
func object(apiVersion, kind, name string, number int, fields string) string {
	namespace, extra := "", ""
	switch kind {
	case "Node":
		extra = fmt.Sprintf(`, "labels": {"kubernetes.io/hostname": %q, "topology.kubernetes.io/zone": "zone-%d", "kubernetes.io/arch": "amd64"}`, name, number%3)
	case "Service":
		namespace, extra = "bench", `, "annotations": {"tombolo.io/global": "true"}`
	case "EndpointSlice":
		namespace, extra = "bench", fmt.Sprintf(`, "labels": {"kubernetes.io/service-name": %q}`, strings.TrimSuffix(name, "-a"))
	case "IPAddress":
		extra = `, "labels": {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}`
	}
	if namespace != "" {
		extra = fmt.Sprintf(`, "namespace": %q`, namespace) + extra
	}
	return fmt.Sprintf(`{"apiVersion": %q, "kind": %q, "metadata": {"name": %q, "uid": "%08x-0000-4000-8000-%012x", "creationTimestamp": "2026-01-01T00:00:00Z"%s}, %s}`,
		apiVersion, kind, name, len(kind), number, extra, fields)
}

// nodeFields are those of a node, with images as a kubelet names them.
func nodeFields(i int) string {
	var images []string
	for j := range 20 {
		images = append(images, fmt.Sprintf(`{"names": ["registry.example/team/image-%d@sha256:%064d"], "sizeBytes": %d}`, j, j, 1000000+j))
	}
	prefix := netip.PrefixFrom(nth(netip.MustParseAddr("10.128.0.0"), i*256), 24).Masked()
	return fmt.Sprintf(`"spec": {"podCIDR": %[1]q, "podCIDRs": [%[1]q]}, "status": {"addresses": [{"type": "InternalIP", "address": %[2]q}], "images": [%[3]s]}`,
		prefix, nth(netip.MustParseAddr("172.20.0.0"), i+1), strings.Join(images, ","))
}

func sliceFields(i, endpoints, nodes int) string {
	var all []string
	for j := range endpoints {
		n := i*endpoints + j
		all = append(all, fmt.Sprintf(`{"addresses": [%q], "conditions": {"ready": true, "serving": true, "terminating": false}, "nodeName": "node-%d", "zone": "zone-%d",
			"targetRef": {"kind": "Pod", "namespace": "bench", "name": "service-%d-%d", "uid": "%08x-90ab-4def-8234-567890abcdef"}}`,
			nth(netip.MustParseAddr("10.128.0.0"), n), n%nodes, n%nodes%3, i, j, n))
	}
	return fmt.Sprintf(`"addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}], "endpoints": [%s]`, strings.Join(all, ","))
}

// cpuTime returns what a process has spent of the processors' time.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the time of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third of proc(5), the state
	var ticks int
	for _, i := range []int{11, 12} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, fmt.Errorf("reading the time of process %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 everywhere
}
