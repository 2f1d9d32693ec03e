package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh/source"
)

// ofStore is a source whose objects are of a named store.
type ofStore struct {
	source.Source
	name string
}

func (o ofStore) Run(ctx context.Context, out chan<- source.Update) error {
	in, done := make(chan source.Update), make(chan error, 1)
	go func() { done <- o.Source.Run(ctx, in) }()
	for {
		select {
		case err := <-done:
			return err
		case u := <-in:
			u.Origin = o.name
			select {
			case out <- u:
			case <-ctx.Done():
			}
		}
	}
}

func addressedYAML(name, annotations, ip string) string {
	service, _, _ := strings.Cut(serviceYAML(name, annotations, 0)[4:], "---\n")
	return "---\n" + strings.Replace(service, "10.96.0.10", ip, 1)
}

// Services that wait to be swept, because they are so many, go alone when another has
// their address: nodes would lead to their backends who dials the other. So it is for who
// begins to lead, and while it leads; but what another store says is no evidence.
func TestAddressOfAServiceThatLingers(t *testing.T) {
	const many = 24
	for _, c := range []struct {
		store string
		gone  bool
	}{{"a", true}, {"b", false}} {
		t.Run(c.store, func(t *testing.T) {
			var all strings.Builder
			for i := range many {
				all.WriteString(addressedYAML(fmt.Sprint("s", i), "", fmt.Sprintf("10.96.1.%d", i)))
			}
			r := newRig(t)
			r.wrap = func(s source.Source) source.Source { return ofStore{s, "a"} }
			r.write("all.yaml", all.String())
			first := r.serve("n1")
			r.well(first)
			r.until("all is stored", func() bool { return len(r.keys()) == many && r.have["private/origin"] != nil })
			first.stop()
			r.write("all.yaml", addressedYAML("new", "", "10.96.1.0"))
			r.wrap = func(s source.Source) source.Source { return ofStore{s, c.store} }
			second := r.serve("n1")
			r.degraded(second, "--allow-shrink")
			left := func(what string, gone int) {
				t.Helper()
				if !c.gone {
					gone = 0
				}
				r.until(what, func() bool {
					keys := slices.DeleteFunc(r.keys(), func(k string) bool { return strings.HasPrefix(k, "private/services/shop/new") })
					return len(keys) == many-gone && (gone == 0 || r.have[fmt.Sprint("private/services/shop/s", gone-1)] == nil)
				})
			}
			r.until("what is there is stored", func() bool { return r.have["private/services/shop/new"] != nil })
			left("it begins to lead", 1)
			r.write("more.yaml", addressedYAML("new2", global, "10.96.1.1"))
			r.until("another comes", func() bool { return r.have["export/services/shop/new2"] != nil })
			r.write("more.yaml", addressedYAML("new2", "", "10.96.1.1"))
			r.until("and moves", func() bool { return r.have["private/services/shop/new2"] != nil })
			left("it leads", 2)
			r.degraded(second, "--allow-shrink")
		})
	}
}

// One that may only be unreadable stays, without the address that is another's.
func TestAddressOfAnUnreadableService(t *testing.T) {
	r := newRig(t)
	r.write("web.yaml", addressedYAML("web", global, "10.96.1.1"))
	first := r.serve("n1")
	r.well(first)
	first.stop()
	r.write("web.yaml", addressedYAML("web", perhaps, "10.96.1.2"))
	r.write("new.yaml", addressedYAML("new", "", "10.96.1.1"))
	second := r.serve("n1")
	r.degraded(second, "the source could not read everything")
	r.until("the other is stored", func() bool { return r.have["private/services/shop/new"] != nil })
	r.until("it has lost its address", func() bool { return len(r.service("export/services/shop/web").ClusterIPs) == 0 })
	r.write("web.yaml", addressedYAML("web", global, "10.96.1.2"))
	r.until("it is mended", func() bool { return fmt.Sprint(r.service("export/services/shop/web").ClusterIPs) == "[10.96.1.2]" })
	r.well(second)
}
