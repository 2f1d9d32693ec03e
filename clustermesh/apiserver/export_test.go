package apiserver

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

func exportYAML(name, spec string) string {
	return `---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ` + name + `, namespace: shop, creationTimestamp: "2026-01-02T03:04:05Z"}
spec: {` + spec + "}\n"
}

// What is offered to all clusters is told beside the service, which stays what it
// is; its slices lie where the others see them, for as long as that is so.
func TestExports(t *testing.T) {
	const exports, service, slice = "export/exports/shop/web", "private/services/shop/web", "export/slices/shop/web/web-1"
	r := newRig(t)
	r.write("web.yaml", serviceYAML("web", "", 1))
	r.write("export.yaml", exportYAML("web", "exportedLabels: {team: a}"))
	s := r.serve("n1")
	r.wants("offered", exports, service, slice)
	r.well(s)
	o, err := clustermesh.DecodeAt(clustermesh.Root+exports, r.have[exports])
	if err != nil {
		t.Fatal(err)
	}
	e := o.(*clustermesh.ServiceExport)
	if e.Labels["team"] != "a" || e.Created.Year() != 2026 || e.Families != clustermesh.IPv4 || e.Service.Ports[0].Port != 80 || len(e.Service.ClusterIPs) > 0 {
		t.Errorf("it says %+v", e)
	}
	cluster, err := clustermesh.DecodeAt(clustermesh.Root+"export/cluster", r.have["export/cluster"])
	if err != nil || !cluster.(*clustermesh.Cluster).TellsExports() {
		t.Errorf("the cluster does not say that it vouches for exports: %+v, %v", cluster, err)
	}
	if m := r.marker("export/exports"); m.Count != 1 {
		t.Errorf("the marker says %+v", m)
	}
	r.write("export.yaml", "")
	r.wants("no longer", service, "private/slices/shop/web/web-1")
	r.write("export.yaml", exportYAML("web", "")+exportYAML("none", ""))
	r.wants("of a service that there is not, nothing is", exports, service, slice)
	r.remove("web.yaml")
	r.wants("gone")
}

// A leader that cannot tell whether a service is still offered, or what it is, keeps
// the offer as it is stored, and its slices where others see them.
func TestExportsOfWhatIsUnknown(t *testing.T) {
	const exports, slice = "export/exports/shop/web", "export/slices/shop/web/web-1"
	for name, c := range map[string]struct{ service, export string }{
		"the export":  {serviceYAML("web", "", 1), exportYAML("web", "exportedLabels: {-: b}")},
		"the service": {serviceYAML("web", perhaps, 1), exportYAML("web", "")},
		"anything":    {serviceYAML("web", "", 1), "{"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.write("web.yaml", serviceYAML("web", "", 1))
			r.write("export.yaml", exportYAML("web", ""))
			first := r.serve("n1")
			r.well(first)
			r.has("offered", slice, "10.1.0.1")
			first.stop()
			r.write("web.yaml", rolled(c.service, "10.1.0.77"))
			r.write("export.yaml", c.export)
			second := r.serve("n1")
			r.degraded(second, "the source could not read everything")
			r.has("what changes is seen", slice, "10.1.0.77")
			r.until("it is still offered", func() bool { return strings.Contains(strings.Join(r.keys(), " "), exports) })
			r.write("web.yaml", serviceYAML("web", "", 1))
			r.write("export.yaml", "")
			r.wants("until it is not", "private/services/shop/web", "private/slices/shop/web/web-1")
			r.well(second)
		})
	}
}
