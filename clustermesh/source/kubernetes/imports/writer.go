package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// FieldManager owns what is written.
const FieldManager = "tombolo-apiserver"

// Times of the writer.
const (
	// patience bounds one pass over all services.
	patience = time.Minute
	// again is the wait before what could not be written is tried anew, and look that
	// before the API is asked what it has of ours.
	again = 5 * time.Second
	look  = time.Minute
	// standEvery is how often ServiceExports are listed while nothing of them is new,
	// though endpoints change all the time.
	standEvery = 10 * time.Second
)

// Writer writes what all clusters offer together.
type Writer struct {
	api dynamic.Interface
	log *slog.Logger
	// leads says whether this process leads: nobody else writes.
	leads func() bool
	told  chan *source.ClusterSet

	// set is what was told last; nil while another leads.
	set *source.ClusterSet
	// have is what the API has of ours, nil while that is not known, and lookAt when
	// it is asked again. version is that of the Multi-cluster Services API, empty
	// where it is not installed.
	have    map[ref]*written
	lookAt  time.Time
	version string
	// done are the services that are written as they were told.
	done map[clustermesh.ServiceName]*source.Imported
	// barred are those of which an object of somebody else has a name, until the next look.
	barred map[clustermesh.ServiceName]barred
	// shown are the global services whose slices are written as they were told.
	shown map[clustermesh.ServiceName]*source.Global
	// stood are the conditions of exports that were written last, and standAt is when
	// they are compared with what the API has although they are the same.
	stood   map[clustermesh.ServiceName][]clustermesh.Condition
	standAt time.Time
	// failed is what was logged last of what cannot be written.
	failed string
}

// barred is why a service cannot be written as it was told.
type barred struct {
	as  *source.Imported
	err error
}

// New returns a writer that asks nothing before Run.
func New(api dynamic.Interface, leads func() bool, log *slog.Logger) *Writer {
	return &Writer{api: api, log: log, leads: leads, told: make(chan *source.ClusterSet, 1)}
}

// SetClusterSet implements source.ClusterSetWriter. One goroutine tells.
func (w *Writer) SetClusterSet(s source.ClusterSet) { w.tell(&s) }

// StopClusterSet implements source.ClusterSetWriter.
func (w *Writer) StopClusterSet() { w.tell(nil) }

func (w *Writer) tell(s *source.ClusterSet) {
	select {
	case <-w.told:
	default:
	}
	w.told <- s
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-w.told:
			w.take(s)
		case <-timer.C:
		}
		wait := look
		if w.set != nil && w.leads() {
			err := w.pass(ctx, time.Now())
			w.report(ctx, err)
			if wait = time.Until(w.lookAt); err != nil {
				wait = again
			}
		}
		timer.Reset(max(wait, time.Millisecond))
	}
}

// take takes in what was told. Who begins to lead looks what there is.
func (w *Writer) take(s *source.ClusterSet) {
	if s == nil || w.set == nil {
		w.have, w.done, w.stood, w.standAt = nil, nil, nil, time.Time{}
	} else if w.lost(s) || w.version == "" && len(s.Exports) > 0 { // which there are once it is installed
		w.lookAt = time.Time{}
	}
	w.set = s
}

// lost says whether an import had an address and has none any more: somebody deleted
// the Service that gives it.
func (w *Writer) lost(s *source.ClusterSet) bool {
	for name, i := range s.Services {
		if before := w.set.Services[name]; before != nil && len(before.Addresses) > 0 && len(i.Addresses) == 0 {
			return true
		}
	}
	return false
}

// pass writes what differs, goes on after what cannot be written, and returns why.
func (w *Writer) pass(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.have == nil || !now.Before(w.lookAt) {
		if err := w.list(ctx); err != nil {
			return err
		}
		w.barred = map[clustermesh.ServiceName]barred{}
		w.lookAt, w.done, w.shown = now.Add(look), map[clustermesh.ServiceName]*source.Imported{}, map[clustermesh.ServiceName]*source.Global{}
	}
	errs := []error{w.show(ctx)}
	if w.version == "" { // nobody could see an import
		w.lookAt = now.Add(standEvery)
		return errors.Join(append(errs, w.sweep(ctx))...)
	}
	for name, i := range w.set.Services {
		if w.done[name] == i {
			continue
		}
		if !w.leads() || ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if b, ok := w.barred[name]; ok && b.as == i {
			errs = append(errs, b.err)
			continue
		}
		if err := w.write(ctx, i); err != nil && !ending(err) {
			err = fmt.Errorf("importing %s: %w", name, err)
			if errors.Is(err, errForeign) {
				w.barred[name] = barred{i, err}
			}
			errs = append(errs, err)
			continue
		}
		if !w.held(ref{imports, name.Namespace, name.Name}, i) {
			w.done[name] = i
		}
	}
	errs = append(errs, w.sweep(ctx))
	if !now.Before(w.standAt) || !reflect.DeepEqual(w.stood, w.set.Exports) {
		err := w.standings(ctx, now)
		if err == nil {
			w.stood, w.standAt = w.set.Exports, now.Add(standEvery)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// write writes all of one service: first the import, to which the others belong, then
// the Service that gives it its address.
func (w *Writer) write(ctx context.Context, i *source.Imported) error {
	imported := ref{imports, i.Name.Namespace, i.Name.Name}
	service := ref{services, i.Name.Namespace, source.DerivedName(i.Name)}
	if w.held(imported, i) {
		return w.writeSlices(ctx, i, w.have[imported]) // what it is stays, and what moves goes on
	}
	if s := w.have[service]; s != nil && !s.becomes(i) {
		if err := w.delete(ctx, service); err != nil { // and made anew
			return err
		}
	}
	var ips []string
	if s := w.have[service]; s != nil {
		ips = s.ips
	}
	owner, err := w.put(ctx, imported, serviceImport(w.version, i, ips))
	if err != nil {
		return err
	}
	s, err := w.put(ctx, service, derived(w.version, i, owner.uid))
	if err != nil { // what moves goes on
		return errors.Join(err, w.writeSlices(ctx, i, owner), w.status(ctx, i, owner, err))
	}
	if !slices.Equal(s.ips, ips) {
		if owner, err = w.put(ctx, imported, serviceImport(w.version, i, s.ips)); err != nil {
			return err
		}
	}
	return errors.Join(w.writeSlices(ctx, i, owner), w.status(ctx, i, owner, nil))
}

// held says whether what there is of an import stays as it is: it is of a cluster
// that nobody knows at present to offer it no longer.
func (w *Writer) held(imported ref, i *source.Imported) bool {
	have := w.have[imported]
	return have != nil && slices.ContainsFunc(have.clusters, func(c string) bool {
		return !slices.Contains(i.Clusters, c) && w.set.Unknown(c, i.Name)
	})
}

// writeSlices writes the slices of all clusters that offer a service.
func (w *Writer) writeSlices(ctx context.Context, i *source.Imported, owner *written) error {
	var errs []error
	for k := range i.Slices {
		o := slice(w.version, i, &i.Slices[k], owner.uid)
		_, err := w.put(ctx, ref{endpointSlices, i.Name.Namespace, meta(o)["name"].(string)}, o)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sweep deletes what is ours and nobody wants, if that is sure.
func (w *Writer) sweep(ctx context.Context) error {
	wanted := w.wanted()
	var gone []ref
	for r, have := range w.have {
		if !wanted[r] && !w.unsure(have) {
			gone = append(gone, r)
		}
	}
	slices.SortFunc(gone, func(a, b ref) int { // an import goes before its address and its endpoints
		return cmp.Or(cmp.Compare(a.resource.order(), b.resource.order()), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	var errs []error
	for _, r := range gone {
		if !w.leads() {
			break
		}
		errs = append(errs, w.delete(ctx, r))
	}
	return errors.Join(errs...)
}

// unsure says whether it is not known that nobody wants an object. A slice of a global
// Service that wishes slices hangs on the cluster that shares it; of one that does not, on
// our own Service alone.
func (w *Writer) unsure(have *written) bool {
	n := have.service
	if !have.shared {
		return slices.ContainsFunc(have.clusters, func(c string) bool { return w.set.Unknown(c, n) })
	}
	if w.set.Globals[n] == nil {
		return w.set.UnknownShares(w.set.Cluster, n)
	}
	return slices.ContainsFunc(have.clusters, func(c string) bool { return c != w.set.Cluster && w.set.UnknownShares(c, n) })
}

// wanted returns what is wanted of ours.
func (w *Writer) wanted() map[ref]bool {
	out := map[ref]bool{}
	for name, g := range w.set.Globals {
		for k := range g.Slices {
			out[ref{endpointSlices, name.Namespace, globalName(name, &g.Slices[k])}] = true
		}
	}
	for name, i := range w.set.Services {
		out[ref{imports, name.Namespace, name.Name}] = true
		out[ref{services, name.Namespace, source.DerivedName(name)}] = true
		for k := range i.Slices {
			out[ref{endpointSlices, name.Namespace, sliceName(name, &i.Slices[k])}] = true
		}
	}
	return out
}

// report logs that something cannot be written, or all can again.
func (w *Writer) report(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text, _, _ = strings.Cut(err.Error(), "\n")
		if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			text += "; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml"
		}
	}
	switch {
	case text == w.failed:
	case text == "":
		w.log.Info("what clusters offer together can be written again")
	default:
		w.log.Warn("what clusters offer together cannot be written; it is tried again", "err", text)
	}
	w.failed = text
}
