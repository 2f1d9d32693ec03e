package kubernetes

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"tombolo.io/tombolo/clustermesh/source"
)

// news is what a reflector has to tell of a kind: one of the fields.
type news struct {
	kind source.Kind
	// put and gone are objects that were watched to change and to go.
	put, gone *entry
	// list is everything there is.
	list []*entry
	// answer says how the API answered.
	answer *answer
}

// answer is how the API answered a list or a watch; err is nil when it did as
// it was asked.
type answer struct {
	verb string
	err  error
}

// The wait before the API is asked again after an error, for each kind.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// feed reads one kind and tells what it finds. It is the store that a
// reflector keeps up to date, and what the reflector asks the API through.
type feed struct {
	reader
	listWatch
	ctx context.Context
	out chan<- news
}

// run reads the kind until ctx ends. What goes wrong is told by ListWithContext
// and WatchWithContext, so client-go itself logs nothing.
func (f *feed) run(ctx context.Context) {
	silent := logr.Discard()
	f.ctx = klog.NewContext(ctx, silent)
	r := cache.NewReflectorWithOptions(f, nil, f, cache.ReflectorOptions{
		Logger: &silent, Name: f.resource.Resource, TypeDescription: f.resource.Resource,
		Backoff: &wait.Backoff{Duration: firstRetry, Cap: lastRetry, Steps: 10, Factor: 2, Jitter: 0.5},
	})
	r.RunWithContext(f.ctx)
}

func (f *feed) tell(n news) error {
	n.kind = f.Kind
	select {
	case f.out <- n:
		return nil
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}

// Add tells of an object that is new.
func (f *feed) Add(o any) error {
	e, err := f.read(o)
	if err != nil {
		return err
	}
	return f.tell(news{put: e})
}

// Update tells of an object that changed.
func (f *feed) Update(o any) error { return f.Add(o) }

// Delete tells of an object that is gone.
func (f *feed) Delete(o any) error {
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	return f.tell(news{gone: name(m)})
}

// Replace tells what a list has.
func (f *feed) Replace(all []any, _ string) error {
	list := make([]*entry, 0, len(all))
	for i, o := range all {
		e, err := f.read(o)
		if err != nil {
			return err
		}
		list = append(list, e)
		all[i] = nil // the object may go before the others are read
	}
	return f.tell(news{list: list})
}

// Resync does nothing: nothing is told twice.
func (f *feed) Resync() error { return nil }

// Transformer has a list that is streamed translated as it comes.
func (f *feed) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return f.read(o) }
}

// List is ListWithContext.
func (f *feed) List(o metav1.ListOptions) (runtime.Object, error) { return f.ListWithContext(f.ctx, o) }

// Watch is WatchWithContext.
func (f *feed) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return f.WatchWithContext(f.ctx, o)
}

// ListWithContext lists the kind and tells how the API answered.
func (f *feed) ListWithContext(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
	out, err := f.list(f.ctx, o) // client-go lists with a context that does not end
	f.answered("list", err)
	return out, err
}

// WatchWithContext watches the kind and tells how the API answered.
func (f *feed) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	out, err := f.watch(ctx, o)
	if err == nil && reflect.TypeOf(out) == emptyWatch {
		out, err = nil, errClosed
	}
	if o.SendInitialEvents != nil && apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return out, err // it does not stream a list: it is asked for a plain one next
	}
	f.answered("watch", err)
	return out, err
}

// client-go hands out a watch that ends at once where the connection was closed
// or timed out before an answer came, as it is when nobody is behind a load
// balancer. To a reflector that looks like a watch that was, and to us it is an
// API that does not answer.
var (
	emptyWatch = reflect.TypeOf(watch.NewEmptyWatch())
	errClosed  = errors.New("the connection was closed before an answer came")
)

func (f *feed) answered(verb string, err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		err = nil // it answers; what we knew is too old for it, so all is listed anew
	}
	f.tell(news{answer: &answer{verb, err}})
}
