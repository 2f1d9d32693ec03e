package apiserver

import (
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// What another store lacks waits, however little it is; and nothing is decided before
// the source knows which store it has.
func TestForeign(t *testing.T) {
	for _, c := range []struct {
		name, stored, now string
		rule              source.Shrink
		want              string
	}{
		{"the same", "a", "a", source.Shrink{}, ""},
		{"a source without one", "a", "", source.Shrink{}, ""},
		{"nothing is stored", "", "a", source.Shrink{}, ""},
		{"not known yet", "a", source.UnknownOrigin, source.Shrink{Allow: true}, "the API did not say yet which store it has"},
		{"another", "a", "b", source.Shrink{}, `the API has another store than the one of which all this was stored, for the namespace kube-system has the UID "b" and had "a"; allow it with --allow-shrink`},
		{"another for some time", "a", "b", source.Shrink{Hold: time.Minute}, "that is believed at 1970-01-01T00:02:40Z"},
		{"another that is allowed", "a", "b", source.Shrink{Allow: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tm := &term{origin: c.stored, catalog: newCatalog(), sweep: newSweep(c.rule)}
			tm.catalog.apply(source.Update{Synced: source.Kinds[:], Origin: c.now})
			tm.sweep.add(clustermesh.Root + "export/nodes/n1")
			tm.sweep.foreign, tm.sweep.unsure = tm.foreign()
			gone := len(tm.sweep.pass(tm.catalog, census{}, time.Unix(100, 0)))
			if !strings.Contains(tm.sweep.reason, c.want) || (gone == 1) != (c.want == "") {
				t.Errorf("%d go, because %q", gone, tm.sweep.reason)
			}
		})
	}
}
