package apiserver

import (
	"fmt"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// foreign says why what the source lacks may be there all the same: its objects are
// of another store than the stored ones were. A source that runs on notices that by
// itself; this is for a process that starts anew. With unsure it is not known yet.
func (t *term) foreign() (why string, unsure bool) {
	now := t.catalog.origin
	switch {
	case t.origin == "" || now == "" || now == t.origin:
		return "", false
	case now == source.UnknownOrigin:
		return "the API did not say yet which store it has", true
	}
	return fmt.Sprintf("the API has another store than the one of which all this was stored, for the namespace kube-system has the UID %q and had %q", now, t.origin), false
}

// settleOrigin stages of which store the objects are, once nothing is left of another.
func (t *term) settleOrigin() {
	now := t.catalog.origin
	if now == "" || now == source.UnknownOrigin || now == t.origin || len(t.sweep.keys) > 0 || t.relearning != nil || !t.catalog.synced() {
		return
	}
	o := &clustermesh.Origin{UID: now}
	key := clustermesh.KeyOf(clustermesh.Private, o).String()
	delete(t.invalid, key)
	t.put(key, o, key)
	t.origin = now
}
