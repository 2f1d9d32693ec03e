package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// The types that are decoded: a clientset would bring all that Kubernetes has.
var (
	scheme     = newScheme()
	codecs     = serializer.NewCodecFactory(scheme)
	parameters = runtime.NewParameterCodec(scheme)
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types of one name: not to be met at run time
		}
	}
	return s
}

// client asks an API in the three ways there are: whole objects of Kubernetes'
// own in protobuf, only their metadata, and objects of any kind in JSON.
type client struct {
	host            string
	core, discovery rest.Interface
	// many is core for requests of which there may be one a service.
	many     rest.Interface
	metadata metadata.Interface
	dynamic  dynamic.Interface
}

// newClient returns a client that has not asked anything yet.
func newClient(config *rest.Config) (*client, error) {
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials for %s: %w", config.Host, err)
	}
	c := &client{host: config.Host}
	if c.core, err = protobuf(config, shared, "/api", corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	busy := rest.CopyConfig(config)
	busy.QPS, busy.Burst = manyPerSecond, manyPerSecond
	if c.many, err = protobuf(busy, shared, "/api", corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.discovery, err = protobuf(config, shared, "/apis", discoveryv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), shared); err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(dynamic.ConfigFor(config), shared); err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	return c, nil
}

// protobuf returns a client of one version of Kubernetes' own API.
func protobuf(config *rest.Config, shared *http.Client, path string, version schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &version
	config.NegotiatedSerializer = codecs.WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	out, err := rest.RESTClientForConfigAndClient(config, shared)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	return out, nil
}

// listWatch lists and watches one kind of object, in all namespaces.
type listWatch struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// whole lists and watches whole objects; empty returns an empty list of them.
func whole(c rest.Interface, resource string, empty func() runtime.Object) listWatch {
	request := func(o metav1.ListOptions) *rest.Request {
		// The reflector tries again, and what went wrong is to be told before that.
		r := c.Get().MaxRetries(0).Resource(resource).VersionedParams(&o, parameters)
		if o.TimeoutSeconds != nil {
			r = r.Timeout(time.Duration(*o.TimeoutSeconds) * time.Second)
		}
		return r
	}
	return listWatch{
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			into := empty()
			return into, request(o).Do(ctx).Into(into)
		},
		func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return request(o).Watch(ctx)
		},
	}
}

// labelled lists and watches the metadata alone.
func labelled(c metadata.Interface, r schema.GroupVersionResource) listWatch {
	return listWatch{
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.Resource(r).List(ctx, o)
		},
		func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Resource(r).Watch(ctx, o)
		},
	}
}

// custom lists and watches objects of a custom resource.
func custom(c dynamic.Interface, r schema.GroupVersionResource) listWatch {
	return listWatch{
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return c.Resource(r).List(ctx, o)
		},
		func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return c.Resource(r).Watch(ctx, o)
		},
	}
}

// identity returns the UID of the namespace kube-system, which every API server
// makes once in its store: what tells one store from another. It is empty when
// there is no such namespace. A get without a resourceVersion is answered by the
// store itself; a list of one may be by a cache, of before the store was lost.
func (c *client) identity(ctx context.Context) (string, error) {
	o, err := c.metadata.Resource(namespaces).Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return string(o.UID), nil
}
