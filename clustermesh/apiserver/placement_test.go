package apiserver

import (
	"fmt"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// perhaps is the annotation of a service of which nobody can tell whether it is global.
const perhaps = `tombolo.io/global: perhaps`

// addressesOf are those that a stored slice has.
func (r *rig) addressesOf(key string) string {
	r.Helper()
	value, ok := r.have[key]
	if !ok {
		return "no slice"
	}
	o, err := clustermesh.DecodeAt(clustermesh.Root+key, value)
	if err != nil {
		r.Fatal(err)
	}
	var out []string
	for _, e := range o.(*clustermesh.EndpointSlice).Endpoints {
		out = append(out, e.Address.String())
	}
	return strings.Join(out, " ")
}

func (r *rig) has(what, key, addresses string) {
	r.Helper()
	r.until(what, func() bool { return r.addressesOf(key) == addresses })
}

// rolled has its pods at other addresses.
func rolled(yaml, address string) string { return strings.ReplaceAll(yaml, "10.1.0.1", address) }

// A leader that never saw a service as it should be, because it is written wrong,
// keeps the slices current where the stored service has its readers look.
func TestSlicesOfAnUnknownService(t *testing.T) {
	for _, c := range []struct{ annotation, area string }{{global, "export"}, {"", "private"}} {
		service, slice := c.area+"/services/shop/web", c.area+"/slices/shop/web/web-1"
		for _, end := range []struct {
			name, text string
			keys       []string
		}{
			{"mended global", serviceYAML("web", global, 6), []string{"export/services/shop/web", "export/slices/shop/web/web-1"}},
			{"mended private", serviceYAML("web", "", 2), []string{"private/services/shop/web", "private/slices/shop/web/web-1"}},
			{"removed", strings.SplitAfterN(serviceYAML("web", "", 2), "---\n", 3)[2], []string{"private/slices/shop/web/web-1"}},
		} {
			t.Run(c.area+" "+end.name, func(t *testing.T) {
				r := newRig(t)
				r.write("web.yaml", serviceYAML("web", c.annotation, 12))
				first := r.serve("n1")
				r.well(first)
				r.wants("stored", service, slice)
				size := r.service(service).TableSize
				first.stop()
				r.write("web.yaml", rolled(serviceYAML("web", perhaps, 1), "10.1.0.77"))
				second := r.serve("n1")
				r.has("what changed unseen is stored", slice, "10.1.0.77")
				r.degraded(second, "the source could not read everything")
				r.write("web.yaml", rolled(serviceYAML("web", perhaps, 1), "10.1.0.99"))
				r.has("and what changes", slice, "10.1.0.99")
				r.wants("all in its place", service, slice)
				r.write("web.yaml", end.text)
				r.wants(end.name, end.keys...)
				r.well(second)
				if end.name == "mended global" && c.area == "export" && r.service(service).TableSize != size {
					t.Errorf("the table had %d slots and has %d", size, r.service(service).TableSize)
				}
			})
		}
	}
}

// So does one that stood by, and has read its source long before it leads.
func TestSlicesOfAServiceThatTheStandbyNeverKnew(t *testing.T) {
	const service, slice = "export/services/shop/web", "export/slices/shop/web/web-1"
	r := newRig(t)
	r.write("web.yaml", serviceYAML("web", global, 1))
	first := r.serve("n1")
	r.well(first)
	r.wants("stored", service, slice)
	r.write("web.yaml", serviceYAML("web", perhaps, 1))
	r.degraded(first, `"perhaps" is not`)
	second := r.serve("n2")
	r.degraded(second, `"perhaps" is not`)
	r.until("the second stands by", func() bool { return second.Status().LeaderName == "n1" })
	first.stop()
	r.until("the second leads", func() bool { return second.Status().Leader })
	r.degraded(second, "the source could not read everything")
	r.write("web.yaml", rolled(serviceYAML("web", perhaps, 1), "10.1.0.77"))
	r.has("what changes is stored", slice, "10.1.0.77")
	r.wants("all in its place", service, slice)
}

// One that was never stored, or was and went, is nobody else's business.
func TestSlicesOfAnUnknownServiceThatIsNotStored(t *testing.T) {
	const slice = "private/slices/shop/web/web-1"
	r := newRig(t)
	r.write("web.yaml", serviceYAML("web", perhaps, 1))
	s := r.serve("n1")
	r.degraded(s, `"perhaps" is not`)
	r.wants("private", slice)
	r.write("web.yaml", serviceYAML("web", global, 1))
	r.wants("mended", "export/services/shop/web", "export/slices/shop/web/web-1")
	r.remove("web.yaml")
	r.wants("gone")
	r.write("web.yaml", serviceYAML("web", perhaps, 1))
	r.degraded(s, `"perhaps" is not`)
	r.wants("private again", slice)
}

// A file of which nothing can be told may hold any service; and services that are
// gone are not believed to be when they are too many: both stay as they are stored,
// and their slices with them.
func TestSlicesOfServicesThatLinger(t *testing.T) {
	for name, c := range map[string]struct{ before, after, reason string }{
		"blind": {"", "{", "the source could not read everything"},
		"held":  {manyServices(19), "", "more than half of 21 objects"},
	} {
		t.Run(name, func(t *testing.T) {
			const slice = "export/slices/shop/web/web-1"
			r := newRig(t)
			r.write("web.yaml", serviceYAML("web", global, 1))
			r.write("more.yaml", c.before)
			first := r.serve("n1")
			r.well(first)
			r.has("stored", slice, "10.1.0.1")
			first.stop()
			r.write("web.yaml", strings.SplitAfterN(rolled(serviceYAML("web", global, 1), "10.1.0.77"), "---\n", 3)[2])
			r.write("more.yaml", c.after)
			second := r.serve("n1")
			r.degraded(second, c.reason)
			r.has("what changed is stored where it was", slice, "10.1.0.77")
			second.stop()
			r.write("more.yaml", "")
			r.well(r.serve("n1", allow))
			r.wants("it went", "private/slices/shop/web/web-1")
		})
	}
}

// manyServices are services without slices.
func manyServices(n int) string {
	var b strings.Builder
	for i := range n {
		text, _, _ := strings.Cut(serviceYAML(fmt.Sprint("s", i), global, 0)[4:], "---\n")
		b.WriteString("---\n" + text)
	}
	return b.String()
}

// An unknown service keeps its load-balancer address while its slices change.
func TestAddressOfAnUnknownService(t *testing.T) {
	_, slice, _ := strings.Cut(serviceYAML("web", "", 1)[4:], "---\n")
	r := newRig(t)
	r.write("pool.yaml", poolYAML("public", "198.51.100.1-198.51.100.2", ""))
	r.write("web.yaml", balancerYAML("web", global, ""))
	r.write("slice.yaml", slice)
	first := r.serve("n1", byHand)
	r.gets("the pool gives", "web=198.51.100.1")
	r.well(first)
	first.stop()
	r.write("web.yaml", balancerYAML("web", perhaps, ""))
	second := r.serve("n1", byHand)
	r.degraded(second, "the source could not read everything")
	r.write("slice.yaml", rolled(slice, "10.1.0.77"))
	r.has("its pods roll", "export/slices/shop/web/web-1", "10.1.0.77")
	r.write("api.yaml", balancerYAML("api", "", ""))
	r.gets("another gets another", "web=198.51.100.1", "api=198.51.100.2")
	r.remove("web.yaml")
	r.until("it goes, and its address", func() bool { return r.have["private/addresses/198.51.100.1"] == nil })
}
