package imports

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/mcs-api/config/crd"
	mcsapi "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/clusterset"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/internal/kube"
	"tombolo.io/tombolo/internal/kubetest"
)

var echo = clustermesh.ServiceName{Namespace: "demo", Name: "echo"}

// rig is a real API, and a writer whose passes the test makes.
type rig struct {
	testing.TB
	kube  *kubetest.Cluster
	w     *Writer
	leads atomic.Bool
	log   strings.Builder
}

func newRig(t testing.TB, as func(*kubetest.Cluster) kube.Access) *rig {
	t.Helper()
	r := &rig{TB: t, kube: kubetest.New(t, kubetest.Config{Audit: true})}
	r.leads.Store(true)
	r.w = r.writer(as(r.kube))
	return r
}

func admin(c *kubetest.Cluster) kube.Access { return c.Admin() }

func (r *rig) writer(as kube.Access) *Writer {
	r.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", as.Kubeconfig)
	if err != nil {
		r.Fatal(err)
	}
	config.QPS = 1000
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		r.Fatal(err)
	}
	return New(api, r.leads.Load, slog.New(slog.NewTextHandler(&r.log, nil)))
}

// install makes the kinds of the Multi-cluster Services API known.
func (r *rig) install() {
	r.Helper()
	dir := r.TempDir()
	for name, text := range map[string][]byte{"exports.yaml": crd.ServiceExportCRD, "imports.yaml": crd.ServiceImportCRD} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			r.Fatal(err)
		}
	}
	r.kube.Kubectl("", "apply", "--server-side", "-f", dir)
	r.kube.Kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "-f", dir)
}

// pass tells a set and makes a pass.
func (r *rig) pass(set *source.ClusterSet) error {
	r.w.take(set)
	return r.w.pass(r.Context(), time.Now())
}

func (r *rig) passes(what string, set *source.ClusterSet) {
	r.Helper()
	if err := r.pass(set); err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// is compares what the API says, a path of an object each.
func (r *rig) is(what string, want ...string) {
	r.Helper()
	for _, w := range want {
		path, value, _ := strings.Cut(w, " = ")
		name, path, _ := strings.Cut(path, " ")
		if got := r.kube.Kubectl("", "-n", "demo", "get", name, "-o", "jsonpath={"+path+"}"); got != value {
			r.Errorf("%s: %s %s is %q, want %q", what, name, path, got, value)
		}
	}
}

// ours returns the names of what is ours in the namespace, by kind.
func (r *rig) ours() string {
	r.Helper()
	return strings.TrimSpace(r.kube.Kubectl("", "-n", "demo", "get", "serviceimports,services,endpointslices", "-l", Label+"=true",
		"-o", `jsonpath={range .items[*]}{.kind}:{.metadata.labels.multicluster\.kubernetes\.io/source-cluster} {end}`))
}

func offered(cluster string, age int64, change ...func(*clustermesh.ServiceExport)) clusterset.Offer {
	e := &clustermesh.ServiceExport{
		Service: clustermesh.Service{Name: echo, Ports: []clustermesh.ServicePort{
			{Name: "http", Protocol: clustermesh.TCP, Port: 80, AppProtocol: "http"}, {Name: "dns", Protocol: clustermesh.UDP, Port: 53}}},
		Created: time.Unix(age, 0), Families: clustermesh.IPv4, Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "b"},
	}
	for _, f := range change {
		f(e)
	}
	return clusterset.Offer{Cluster: cluster, Export: e}
}

func headless(e *clustermesh.ServiceExport) { e.Service.Headless, e.Families = true, 0 }

func sliceOf(cluster, address string) source.ImportedSlice {
	return source.ImportedSlice{Cluster: cluster, EndpointSlice: &clustermesh.EndpointSlice{
		Service: echo, Name: "echo-1", Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}},
		Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr(address), Node: "n1", Zone: "z1", Hostname: "echo-0", Ready: true, Serving: true}},
	}}
}

func setOf(offers []clusterset.Offer, all ...source.ImportedSlice) *source.ClusterSet {
	set := &source.ClusterSet{
		Services: map[clustermesh.ServiceName]*source.Imported{}, Exports: map[clustermesh.ServiceName][]clustermesh.Condition{},
		Unknown: nobody, UnknownShares: nobody,
	}
	if joined := clusterset.Resolve(echo, offers); joined != nil {
		set.Services[echo] = &source.Imported{Service: *joined, Slices: all}
		set.Exports[echo] = clusterset.Conditions(clusterset.Standing{Service: &clustermesh.Service{Name: echo}, Told: true, Joined: joined})
	}
	return set
}

func nobody(string, clustermesh.ServiceName) bool { return false }

func unsure(set *source.ClusterSet, clusters ...string) *source.ClusterSet {
	set.Unknown = func(c string, n clustermesh.ServiceName) bool { return n == echo && slices.Contains(clusters, c) }
	return set
}

const exportYAML = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: echo, namespace: demo}
`

// The life of an import in a real API.
func TestWriter(t *testing.T) {
	r := newRig(t, admin)
	r.kube.Kubectl("", "create", "namespace", "demo")
	east, west := offered("east", 5), offered("west", 7, func(e *clustermesh.ServiceExport) { e.Labels = nil })
	both := func() *source.ClusterSet {
		return setOf([]clusterset.Offer{east, west}, sliceOf("east", "10.1.0.1"), sliceOf("west", "10.2.0.1"))
	}
	r.passes("the kinds are not installed", both())
	r.install()
	r.leads.Store(false)
	if err := r.pass(both()); err != nil || r.ours() != "" {
		t.Errorf("one who does not lead wrote %s, %v", r.ours(), err)
	}
	r.leads.Store(true)
	r.kube.Kubectl(exportYAML, "apply", "--server-side", "-f", "-")
	r.passes("imported", both())
	if got := r.ours(); got != "ServiceImport: Service: EndpointSlice:east EndpointSlice:west" && got != "ServiceImport: Service: EndpointSlice:west EndpointSlice:east" {
		t.Errorf("there is %s", got)
	}
	service := "service/" + source.DerivedName(echo)
	ip := r.kube.Kubectl("", "-n", "demo", "get", service, "-o", "jsonpath={.spec.clusterIP}")
	east1 := "endpointslice/" + sliceName(echo, &source.ImportedSlice{Cluster: "east", EndpointSlice: sliceOf("east", "10.1.0.1").EndpointSlice})
	r.is("an import",
		"serviceimport/echo .spec.type = ClusterSetIP", "serviceimport/echo .spec.ips = [\""+ip+"\"]", "serviceimport/echo .spec.ports[*].name = http dns",
		"serviceimport/echo .spec.ports[0].appProtocol = http", "serviceimport/echo .spec.sessionAffinity = None", "serviceimport/echo .metadata.labels.team = a",
		"serviceimport/echo .metadata.annotations.note = b", "serviceimport/echo .status.clusters[*].cluster = east west",
		"serviceimport/echo .status.conditions[0].reason = Ready", "serviceimport/echo .status.endpointSliceObjects = Present",
		service+" .spec.selector = ", service+" .metadata.ownerReferences[0].name = echo", service+" .spec.ipFamilies[*] = IPv4",
		east1+` .metadata.labels.multicluster\.kubernetes\.io/service-name = echo`, east1+` .metadata.labels.kubernetes\.io/service-name = `+source.DerivedName(echo),
		east1+` .metadata.labels.endpointslice\.kubernetes\.io/managed-by = apiserver.tombolo.io`,
		east1+" .endpoints[0].addresses[0] = 10.1.0.1", east1+" .endpoints[0].hostname = echo-0", east1+" .endpoints[0].zone = z1",
		east1+" .endpoints[0].nodeName = ", east1+" .ports[0].appProtocol = http", east1+" .endpoints[0].conditions.ready = true")
	r.is("its export", `serviceexport/echo .status.conditions[?(@.type=="Conflict")].reason = LabelsConflict`,
		`serviceexport/echo .status.conditions[?(@.type=="Valid")].status = True`, `serviceexport/echo .status.conditions[?(@.type=="Ready")].observedGeneration = 1`)

	writes := func() (n int) {
		for _, q := range r.kube.Requests(kube.Admin) {
			if q.Verb != "list" && q.Verb != "get" && q.Verb != "watch" {
				n++
			}
		}
		return n
	}
	before := writes()
	r.passes("nothing is new", both())
	r.w = r.writer(r.kube.Admin())
	r.passes("nor for another who leads", both())
	if n := writes() - before; n > 0 {
		t.Errorf("what is there is written %d times", n)
	}

	reached := both()
	reached.Services[echo].Addresses = []netip.Addr{netip.MustParseAddr(ip)}
	r.passes("the source has seen its address", reached)
	r.kube.Kubectl("", "-n", "demo", "delete", service)
	r.passes("and sees that somebody deleted the Service", both())
	ip = r.kube.Kubectl("", "-n", "demo", "get", service, "-o", "jsonpath={.spec.clusterIP}")
	r.is("there is one again", "serviceimport/echo .spec.ips = [\""+ip+"\"]")

	alone := func(address string) *source.ClusterSet {
		return setOf([]clusterset.Offer{east}, sliceOf("east", address))
	}
	r.passes("west is silent", unsure(alone("10.1.0.2"), "west"))
	r.is("it stays", "serviceimport/echo .status.clusters[*].cluster = east west", east1+" .endpoints[0].addresses[0] = 10.1.0.2")
	if got := r.ours(); !strings.Contains(got, "EndpointSlice:west") {
		t.Errorf("of a silent cluster there is %s", got)
	}
	r.passes("nobody is known to offer it", unsure(setOf(nil), "east"))
	if got := r.ours(); !strings.Contains(got, "ServiceImport: Service:") || strings.Contains(got, "west") {
		t.Errorf("what is not known of east, and known of west, leaves %s", got)
	}
	r.passes("west has gone", alone("10.1.0.2"))
	r.is("it is east's", "serviceimport/echo .status.clusters[*].cluster = east", "serviceimport/echo .spec.ips = [\""+ip+"\"]")

	r.passes("headless", setOf([]clusterset.Offer{offered("east", 5, headless)}, sliceOf("east", "10.1.0.2")))
	r.is("it has no address", "serviceimport/echo .spec.type = Headless", "serviceimport/echo .spec.ips = ", service+" .spec.clusterIP = None")
	r.passes("and back", setOf([]clusterset.Offer{offered("east", 5, func(e *clustermesh.ServiceExport) {
		e.Service.SessionAffinity, e.Service.InternalPolicy, e.Service.Distribution, e.Families = time.Minute, clustermesh.TrafficLocal, clustermesh.PreferSameZone, clustermesh.AllFamilies
	})}, sliceOf("east", "10.1.0.2")))
	r.is("it has all that it can have", "serviceimport/echo .spec.type = ClusterSetIP", "serviceimport/echo .spec.sessionAffinityConfig.clientIP.timeoutSeconds = 60",
		"serviceimport/echo .spec.internalTrafficPolicy = Local", "serviceimport/echo .spec.ipFamilies[*] = IPv4 IPv6", service+" .spec.trafficDistribution = PreferClose",
		service+" .spec.sessionAffinity = ClientIP")
	silent := setOf(nil)
	silent.Unknown = func(c string, n clustermesh.ServiceName) bool { return n != echo }
	r.passes("nobody offers it, and other services are unknown", silent)
	if got := r.ours(); got != "" {
		t.Errorf("left is %s", got)
	}
}

// What others made under the name stays theirs, and is named; so is what may not be
// done, once.
func TestWriterLeavesWhatIsNotOurs(t *testing.T) {
	r := newRig(t, admin)
	r.install()
	r.kube.Kubectl("", "create", "namespace", "demo")
	r.kube.Kubectl(`
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: echo, namespace: demo}
spec: {type: ClusterSetIP, ports: [{port: 1}], ips: [192.0.2.1]}
`, "create", "-f", "-")
	set := setOf([]clusterset.Offer{offered("east", 5)}, sliceOf("east", "10.1.0.1"))
	for range 2 {
		if err := r.pass(set); err == nil || !strings.Contains(err.Error(), "is not ours") {
			t.Errorf("got %v", err)
		} else {
			r.w.report(t.Context(), err)
		}
	}
	creates := 0
	for _, q := range r.kube.Requests(kube.Admin) {
		if q.Verb == "create" && q.Resource == mcsapi.ServiceImportPluralName {
			creates++
		}
	}
	if creates != 2 { // that of kubectl, and ours
		t.Errorf("it is tried %d times before the API is asked again", creates-1)
	}
	if n := strings.Count(r.log.String(), "delete it, or give it another name"); n != 1 {
		t.Errorf("told %d times: %s", n, r.log.String())
	}
	r.is("it is as it was", "serviceimport/echo .spec.ips[0] = 192.0.2.1", "serviceimport/echo .status = ")
	r.kube.Kubectl("", "-n", "demo", "delete", "serviceimport", "echo")
	r.w.lookAt = time.Time{}
	r.passes("and then it is ours", set)
	r.is("it is", "serviceimport/echo .status.clusters[0].cluster = east")

	r.w = r.writer(r.kube.Issue("nobody"))
	r.log.Reset()
	for range 2 {
		r.w.report(context.Background(), r.pass(set))
	}
	if n := strings.Count(r.log.String(), "kubectl apply -f deploy/rbac/apiserver.yaml"); n != 1 {
		t.Errorf("told %d times: %s", n, r.log.String())
	}
}

// What an import no longer says goes, also of what was written when it was created.
func TestWriterTakesAway(t *testing.T) {
	r := newRig(t, admin)
	r.install()
	r.kube.Kubectl("", "create", "namespace", "demo")
	set := func(change func(*clustermesh.ServiceExport)) *source.ClusterSet {
		return setOf([]clusterset.Offer{offered("east", 5, change)}, sliceOf("east", "10.1.0.1"))
	}
	r.passes("it says much", set(func(e *clustermesh.ServiceExport) {
		e.Service.SessionAffinity, e.Service.Distribution = time.Minute, clustermesh.PreferSameZone
	}))
	service := "service/" + source.DerivedName(echo)
	ip := r.kube.Kubectl("", "-n", "demo", "get", service, "-o", "jsonpath={.spec.clusterIP}")
	for _, port := range []uint16{8080, 9090} {
		r.passes("it says little", set(func(e *clustermesh.ServiceExport) {
			e.Service.Ports[0].Port, e.Labels, e.Annotations = port, nil, nil
		}))
		r.is("a port has another number", service+fmt.Sprintf(" .spec.ports[*].port = %d 53", port), service+fmt.Sprintf(" .spec.ports[0].targetPort = %d", port),
			service+" .spec.clusterIP = "+ip, service+" .spec.sessionAffinity = None", service+" .spec.sessionAffinityConfig = ", service+" .spec.trafficDistribution = ",
			service+" .spec.internalTrafficPolicy = Cluster",
			fmt.Sprintf("serviceimport/echo .spec.ports[*].port = %d 53", port), "serviceimport/echo .spec.sessionAffinityConfig = ", "serviceimport/echo .spec.trafficDistribution = ",
			"serviceimport/echo .metadata.labels.team = ", "serviceimport/echo .metadata.annotations.note = ", "serviceimport/echo .status.conditions[0].reason = Ready")
	}
}

// The first IP family of a Service cannot change: it stays where both are wished, and
// where it is none of the wished ones the Service is made anew.
func TestWriterChangesFamilies(t *testing.T) {
	r := newRig(t, admin)
	r.install()
	r.kube.Kubectl("", "create", "namespace", "demo")
	service := "service/" + source.DerivedName(echo)
	for _, c := range []struct {
		families clustermesh.Families
		want     string
	}{
		{clustermesh.IPv6, "IPv6"}, {clustermesh.AllFamilies, "IPv6 IPv4"}, {clustermesh.IPv6, "IPv6"}, {clustermesh.AllFamilies, "IPv6 IPv4"},
		{clustermesh.IPv4, "IPv4"}, {clustermesh.IPv6, "IPv6"},
	} {
		r.passes(c.want, setOf([]clusterset.Offer{offered("east", 5, func(e *clustermesh.ServiceExport) { e.Families = c.families })}, sliceOf("east", "10.1.0.1")))
		ips := r.kube.Kubectl("", "-n", "demo", "get", service, "-o", "jsonpath={.spec.clusterIPs[*]}")
		r.is(c.want, service+" .spec.ipFamilies[*] = "+c.want, "serviceimport/echo .spec.ips[*] = "+ips, "serviceimport/echo .status.conditions[0].reason = Ready")
	}
}

// What others change of ours is written again once the API is asked what it has.
func TestWriterMendsDrift(t *testing.T) {
	r := newRig(t, admin)
	r.install()
	r.kube.Kubectl("", "create", "namespace", "demo")
	set, east := setOf([]clusterset.Offer{offered("east", 5)}, sliceOf("east", "10.1.0.1")), sliceOf("east", "10.1.0.1")
	r.passes("it is written", set)
	service, slice := "service/"+source.DerivedName(echo), "endpointslice/"+sliceName(echo, &east)
	r.kube.Kubectl("", "-n", "demo", "patch", service, "--type=json", "-p", `[{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]`)
	r.kube.Kubectl("", "-n", "demo", "patch", slice, "--type=merge", "-p", `{"endpoints": []}`)
	r.kube.Kubectl("", "-n", "demo", "label", "serviceimport", "echo", "team-", "other=label")
	r.w.lookAt = time.Time{}
	r.passes("it is looked at", set)
	r.is("it is as it was", service+" .spec.ports[*].port = 80 53", slice+" .endpoints[0].addresses[0] = 10.1.0.1",
		"serviceimport/echo .metadata.labels.team = a", "serviceimport/echo .metadata.labels.other = label")
}

// Endpoints move on while the Service of an import cannot be written.
func TestWriterGoesOnWithoutService(t *testing.T) {
	r := newRig(t, admin)
	r.install()
	r.kube.Kubectl("", "create", "namespace", "demo")
	r.kube.Kubectl("", "-n", "demo", "create", "service", "clusterip", source.DerivedName(echo), "--tcp=1")
	slice := sliceOf("east", "10.1.0.1")
	for _, address := range []string{"10.1.0.1", "10.1.0.2"} {
		if err := r.pass(setOf([]clusterset.Offer{offered("east", 5)}, sliceOf("east", address))); err == nil || !strings.Contains(err.Error(), "is not ours") {
			t.Fatalf("got %v", err)
		}
		r.is("it moves", "endpointslice/"+sliceName(echo, &slice)+" .endpoints[0].addresses[0] = "+address, "serviceimport/echo .status.conditions[0].reason = Pending")
	}
}

// The endpoints that other clusters share of a global Service are shown beside it, where
// the Multi-cluster Services API is not installed, too.
func TestWriterShowsGlobals(t *testing.T) {
	r := newRig(t, admin)
	r.kube.Kubectl("", "create", "namespace", "demo")
	set := func(all ...source.ImportedSlice) *source.ClusterSet {
		s := setOf(nil)
		s.Cluster, s.Globals = "east", map[clustermesh.ServiceName]*source.Global{}
		if all != nil {
			s.Globals[echo] = &source.Global{Name: echo, Headless: true, Slices: all}
		}
		return s
	}
	slices := func(what, want string) {
		t.Helper()
		got := r.kube.Kubectl("", "-n", "demo", "get", "endpointslices", "-l", "kubernetes.io/service-name=echo,endpointslice.kubernetes.io/managed-by="+managedBy,
			"-o", `jsonpath={range .items[*]}{.metadata.labels.multicluster\.kubernetes\.io/source-cluster}:{.endpoints[*].addresses[0]} {end}`)
		if got != want {
			t.Errorf("%s: there is %q, want %q", what, got, want)
		}
	}
	west := sliceOf("west", "10.2.0.1")
	r.passes("west shares it", set(west))
	slices("it is shown", "west:10.2.0.1 ")
	name := "endpointslice/" + globalName(echo, &west)
	r.is("as one of the Service", name+` .metadata.labels.multicluster\.kubernetes\.io/service-name = `, name+` .metadata.labels.service\.kubernetes\.io/headless = `,
		name+" .endpoints[0].hostname = echo-0", name+" .endpoints[0].nodeName = ", name+" .ports[0].port = 8080", name+" .metadata.ownerReferences = ")
	r.passes("it moves", set(sliceOf("west", "10.2.0.2")))
	slices("it moved", "west:10.2.0.2 ")
	owned := func(uid string) *source.ClusterSet {
		s := set(sliceOf("west", "10.2.0.2"))
		s.Globals[echo].UID = uid
		return s
	}
	for _, uid := range []string{"a", "b"} {
		r.passes("the Service is made, and made anew", owned(uid))
		r.is("it belongs to it", name+" .metadata.ownerReferences[*].uid = "+uid, name+" .metadata.ownerReferences[0].name = echo", name+" .metadata.ownerReferences[0].kind = Service")
	}
	blind := func(set *source.ClusterSet, cluster string) *source.ClusterSet {
		set.UnknownShares = func(c string, n clustermesh.ServiceName) bool { return n == echo && c == cluster }
		return set
	}
	r.passes("nobody knows whether west still shares it", blind(set([]source.ImportedSlice{}...), "west"))
	slices("it stays", "west:10.2.0.2 ")
	r.passes("nor whether we still have the Service", blind(set(), "east"))
	slices("it stays", "west:10.2.0.2 ")
	r.passes("nobody knows whether west still shares it, nor do we wish to show it", blind(unsure(set(), "east", "west"), "west"))
	slices("it went", "")
	r.passes("west shares it", set(west))
	other := set()
	other.UnknownShares = func(c string, n clustermesh.ServiceName) bool { return n != echo }
	r.passes("another Service of ours is unknown", other)
	slices("it went", "")
	r.install()
	r.w.lookAt = time.Time{}
	both := setOf([]clusterset.Offer{offered("west", 7)}, west)
	both.Cluster, both.Globals = "east", set(west).Globals
	r.passes("west exports it to all, too", both)
	slices("both are there", "west:10.2.0.1 ")
	if got := r.ours(); strings.Count(got, "EndpointSlice:west") != 2 || !strings.Contains(got, "ServiceImport:") {
		t.Errorf("there is %s", got)
	}
	r.passes("it is neither", set())
	if got := r.ours(); got != "" {
		t.Errorf("left is %s", got)
	}
	r.passes("it is both again", both)
	r.kube.Kubectl("", "delete", "serviceimports,services,endpointslices", "-A", "-l", Label+"=true") // as docs/install.md says
	if got := r.ours(); got != "" {
		t.Errorf("what docs/install.md says leaves %s", got)
	}
}
