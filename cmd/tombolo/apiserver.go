package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/control"
)

// apiserverFlags are those of the API server.
type apiserverFlags struct {
	config                apiserver.Config
	podCIDRs, nodeCIDRs   []string
	serviceCIDRs          []string
	source, manifests     string
	kubeconfig, context   string
	runDir                string
	serverCert, serverKey string
	members               []string
	metricsListen         string
	store                 storeFlags
	logs                  logFlags
}

func newAPIServer() *cobra.Command {
	f := &apiserverFlags{}
	c := &cobra.Command{
		Use:   apiserver.Role,
		Short: "Serves a cluster's objects to its nodes, and mirrors other clusters",
		Long: `Serves a cluster's objects to its nodes, and mirrors other clusters.

It reads the cluster's objects from a directory of Kubernetes manifests, or with
--source kubernetes from the Kubernetes API, and writes them to the cluster's etcd,
which it runs itself unless --etcd-endpoints says where there is one. Of several API
servers of a cluster one leads; the others stand by.`,
		Example: `  tombolo apiserver --config /etc/tombolo/apiserver.yaml
  tombolo apiserver --cluster-name east --cluster-id 1 --node-name n1 \
    --pod-cidr 10.1.0.0/16 --node-cidr 10.0.1.0/24 --manifests /etc/tombolo/manifests \
    --data-dir /var/lib/tombolo/etcd --etcd-listen http://127.0.0.1:2379
  tombolo apiserver --print-config > apiserver.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	f.add(c.Flags())
	return configurable(c)
}

func (f *apiserverFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config.Cluster.Name, "cluster-name", "", "name of this cluster, unique in the mesh")
	flags.Var(bounded{&f.config.Cluster.ID, clustermesh.MinClusterID, clustermesh.MaxClusterID}, "cluster-id", fmt.Sprintf("number of this cluster, unique in the mesh, %d to %d", clustermesh.MinClusterID, clustermesh.MaxClusterID))
	flags.StringSliceVar(&f.podCIDRs, "pod-cidr", nil, "prefixes of the cluster's pods, routed in the whole mesh")
	flags.StringSliceVar(&f.nodeCIDRs, "node-cidr", nil, "prefixes of the cluster's nodes, routed in the whole mesh")
	flags.StringSliceVar(&f.serviceCIDRs, "service-cidr", nil, "prefixes of the cluster's services")
	flags.StringVar(&f.config.Node, "node-name", "", "name of the node that this API server runs on")
	flags.StringVar(&f.source, "source", sourceManifests, "where the cluster's objects come from: manifests or kubernetes")
	flags.StringVar(&f.manifests, "manifests", "", "directory of the cluster's objects, as Kubernetes YAML")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "file that says where the Kubernetes API is; without it, the API of the pod's cluster is read")
	flags.StringVar(&f.context, "kube-context", "", "context of that file; its current one by default")
	flags.BoolVar(&f.config.CordonDrains, "cordon-drains", false, "drain a node while it is cordoned (spec.unschedulable)")
	flags.BoolVar(&f.config.Shrink.Allow, "allow-shrink", false, "believe the source also when more than half of its objects are gone, or when the Kubernetes API has another store than before")
	flags.DurationVar(&f.config.Shrink.Hold, "shrink-hold", 5*time.Minute, "how long a source of which more than half is gone is not believed; 0 is for ever, until a start with --allow-shrink")
	flags.StringSliceVar(&f.config.IdentityLabels, "identity-labels", nil, "which labels of pods make their identity, added to the default rules: app counts, -app does not, example.com/ a domain, team* a beginning, namespace:… those of the namespace")
	flags.DurationVar(&f.config.IdentityWait, "identity-wait", 15*time.Second, "how long, on a store that was lost, no identity is given out before all agents said which they use")
	flags.BoolVar(&f.config.Addresses.Classless, "default-load-balancer", true, "give addresses of pools also to services of type LoadBalancer that name no loadBalancerClass, which in Kubernetes others may do too, not only to those of class "+clustermesh.LoadBalancerClass)
	flags.DurationVar(&f.config.Addresses.Rest, "address-rest", time.Minute, "how long a load-balancer address that was given back goes to no other service")
	flags.StringVar(&f.config.Store.Dir, "data-dir", "", "data directory of the embedded etcd")
	flags.StringSliceVar(&f.config.Store.Listen, "etcd-listen", nil, "URLs on which the embedded etcd listens")
	flags.StringVar(&f.serverCert, "etcd-server-cert", "", "PEM file of the embedded etcd's certificate")
	flags.StringVar(&f.serverKey, "etcd-server-key", "", "PEM file of that certificate's key")
	flags.StringSliceVar(&f.members, "etcd-members", nil, "names and URLs of an embedded etcd's members toward each other, name=URL; one in each of as many API servers")
	flags.StringVar(&f.config.Store.Cluster.Name, "etcd-member", "", "name of this API server's member among --etcd-members")
	flags.StringVar(&f.config.Store.Cluster.Listen, "etcd-peer-listen", "", "URL on which other members are served; this member's of --etcd-members by default, or all addresses if that is a name")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "TCP address that serves /metrics, /healthz and /readyz besides the socket")
	runDirFlag(flags, &f.runDir)
	f.store.add(flags)
	f.logs.add(flags)
}

// complete makes the configuration of what the flags say.
func (f *apiserverFlags) complete() error {
	var errs [4]error
	cluster, store := &f.config.Cluster, &f.config.Store
	cluster.PodCIDRs, errs[0] = parsePrefixes("pod-cidr", f.podCIDRs)
	cluster.NodeCIDRs, errs[1] = parsePrefixes("node-cidr", f.nodeCIDRs)
	cluster.ServiceCIDRs, errs[2] = parsePrefixes("service-cidr", f.serviceCIDRs)
	store.Endpoints, store.ClientTLS = f.store.endpoints, f.store.tls
	if f.serverCert != "" || f.serverKey != "" {
		store.ServerTLS = etcd.TLSFiles{CA: f.store.tls.CA, Cert: f.serverCert, Key: f.serverKey}
	}
	store.Cluster.Members, errs[3] = parseMembers(f.members)
	f.config.Version = version
	byHand := f.source == sourceManifests // in Kubernetes statuses are ours to write
	f.config.Addresses.ByHand, f.config.Addresses.Named = byHand, byHand
	f.config.Addresses.File = f.addressesFile()
	return errors.Join(errors.Join(errs[:]...), f.checkSource(), f.config.Validate())
}

func (f *apiserverFlags) run(ctx context.Context) error {
	log, err := f.logs.logger(os.Stderr)
	if err != nil {
		return err
	}
	if err := f.complete(); err != nil {
		return err
	}
	var server *apiserver.APIServer
	objects, err := f.objects(func() bool { return server.Status().Leader }, log)
	if err != nil {
		return err
	}
	server = apiserver.New(f.config, objects, log)
	surface := apiserverSurface(server.Status)
	surface.Node, surface.Listen = f.config.Node, f.metricsListen
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	maps.Copy(surface.Pages, meshPages(client, askStore))
	surface.Actions = drainActions(server, client)
	maps.Copy(surface.Actions, gossipActions(server, client))
	return runRole(ctx, f.runDir, surface, log, server.Run)
}

// addressesFile is where load-balancer addresses are kept for a store that was lost:
// beside the data directory, which goes with the store when somebody moves it away,
// but on its volume; with an external etcd in the run directory.
func (f *apiserverFlags) addressesFile() string {
	if dir := f.config.Store.Dir; f.config.Store.Embedded() && dir != "" {
		return filepath.Clean(dir) + "-addresses.json"
	}
	return filepath.Join(f.runDir, "apiserver-addresses.json")
}

// client returns a client of the store, embedded or not.
func (f *apiserverFlags) client() (*etcd.Client, error) {
	store := f.store
	if f.config.Store.Embedded() {
		store.endpoints = embedded.Local(f.config.Store.Listen)
	}
	cfg, err := store.config()
	if err != nil {
		return nil, err
	}
	return etcd.Dial(cfg)
}

// apiserverSurface is what an API server shows.
func apiserverSurface(status func() apiserver.Status) control.Surface {
	return control.Surface{
		Role: apiserver.Role, Version: version,
		Health: func() (clustermesh.Health, []string) { s := status(); return s.Health, s.Reasons },
		Ready:  func() error { return status().Ready() },
		Detail: func() any { return inspect.Plain(status()) },
		Pages: map[string]control.Page{
			"/ipam/services": func(*http.Request) (any, error) {
				s := status()
				if !s.Leader {
					return nil, fmt.Errorf("this API server stands by; ask that of node %s, which leads", cmp.Or(s.LeaderName, "(not known yet)"))
				}
				return s.Troubled, nil
			},
			"/manifests": func(*http.Request) (any, error) { return inspect.Plain(status().Source), nil },
		},
		Samples: func() iter.Seq[control.Sample] { return apiserverSamples(status()) },
	}
}

// apiserverSamples are the metrics of an API server.
func apiserverSamples(s apiserver.Status) iter.Seq[control.Sample] {
	held := 0
	for _, h := range s.Source.Held {
		held += h.Missing
	}
	all := []control.Sample{
		{Name: "tombolo_apiserver_leader", Help: "Whether this API server leads.", Value: truth(s.Leader)},
		{Name: "tombolo_apiserver_synced", Help: "Whether a complete pass of this leader is stored.", Value: truth(s.Synced)},
		{Name: "tombolo_apiserver_store_reachable", Help: "Whether the store can be read and written.", Value: truth(s.StoreErr == "")},
		{Name: "tombolo_source_objects", Help: "Objects that the source has.", Value: float64(s.Source.Objects)},
		{Name: "tombolo_source_held_objects", Help: "Objects that a list of the source lacks and that stay because the list is not believed.", Value: float64(held)},
		{Name: "tombolo_source_problems", Help: "Objects that could not be taken as they are written.", Value: float64(len(s.Source.Problems))},
		{Name: "tombolo_source_readable", Help: "Whether the source can be read.", Value: truth(s.Source.Err == "")},
		{Name: "tombolo_apiserver_invalid_objects", Help: "Objects that cannot be stored as they are.", Value: float64(len(s.Invalid))},
		{Name: "tombolo_apiserver_held_deletions", Help: "Stored keys that nobody wants and that are not deleted yet.", Value: float64(s.Waiting)},
	}
	for _, d := range s.Drains {
		all = append(all, control.Sample{Name: "tombolo_drain_moved", Help: "Which part of new connections is moved away from what this cluster drains, 0 to 1.",
			Value: float64(d.Moved) / clustermesh.DrainedWhole, Labels: []string{"what", string(d.What), "name", d.Name}})
	}
	for _, p := range s.Pools {
		pool := []string{"pool", p.Name}
		all = append(all,
			control.Sample{Name: "tombolo_ipam_pool_addresses", Help: "Addresses that a pool can give out.", Value: float64(p.IPv4) + float64(p.IPv6), Labels: pool},
			control.Sample{Name: "tombolo_ipam_pool_used", Help: "Addresses of a pool that are not free, those that rest included.", Value: float64(p.Used), Labels: pool},
			control.Sample{Name: "tombolo_ipam_pool_conflict", Help: "Whether a pool overlaps with an older one, and gives nothing out.", Value: truth(p.Conflict != ""), Labels: pool})
	}
	lacking := 0
	for _, t := range s.Troubled {
		if t.Problems[0].Reason.Lacks() {
			lacking++
		}
	}
	all = append(all, control.Sample{Name: "tombolo_ipam_services_lacking", Help: "Services that lack a load-balancer address they ask for.", Value: float64(lacking)})
	for _, m := range s.Mirrors {
		peer := []string{"peer", m.Peer}
		all = append(all,
			control.Sample{Name: "tombolo_mirror_synced", Help: "Whether the mirror of a peer is fresh.",
				Value: truth(m.State.Phase == clustermesh.MirrorSynced), Labels: peer},
			control.Sample{Name: "tombolo_mirror_refused", Help: "Whether a peer may not join.",
				Value: truth(m.State.Phase == clustermesh.MirrorRefused), Labels: peer},
			control.Sample{Name: "tombolo_mirror_problems", Help: "Keys of a peer whose present value is not mirrored.",
				Value: float64(m.Problems), Labels: peer})
	}
	return slices.Values(all)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// parsePrefixes reads prefixes given by a flag, each of which must be masked.
func parsePrefixes(flag string, in []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var errs []error
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading --%s: %q is no prefix such as 10.1.0.0/16", flag, s))
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// parseMembers reads the members of an embedded etcd, each name=URL.
func parseMembers(in []string) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	var errs []error
	for _, s := range in {
		name, url, ok := strings.Cut(s, "=")
		if !ok || name == "" || out[name] != "" {
			errs = append(errs, fmt.Errorf("reading --etcd-members: %q is none such as a=https://10.0.0.1:2380, each with a name of its own", s))
			continue
		}
		out[name] = url
	}
	return out, errors.Join(errs...)
}
