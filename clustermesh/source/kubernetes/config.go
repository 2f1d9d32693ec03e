package kubernetes

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"tombolo.io/tombolo/clustermesh/source"
)

// Config says which API to read, and who we are there.
type Config struct {
	// Kubeconfig is a file that says where the API is and as whom it is read;
	// without one, it is that of the pod in which this process runs.
	Kubeconfig string
	// Context is the context of Kubeconfig, its current one by default.
	Context string
	// Shrink guards against an API that lost its contents.
	Shrink source.Shrink
	// Node is where this process runs: who reports events.
	Node string
	// Leads says whether this process leads those that read the same API: the
	// leader alone writes events. It may be called at any time.
	Leads func() bool
}

// Validate returns every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Context != "" && c.Kubeconfig == "" {
		errs = append(errs, errors.New("kubernetes: a context is given without its file: give --kubeconfig"))
	}
	if c.Shrink.Hold < 0 {
		errs = append(errs, fmt.Errorf("kubernetes: the hold time %v is negative", c.Shrink.Hold))
	}
	return errors.Join(errs...)
}

// Requests a second that we ask for at most, and how many at once: a list and a
// watch a kind after a restart of the API, and events.
const (
	queriesPerSecond = 50
	queriesAtOnce    = 100
	// manyPerSecond are the writes to the statuses of services, when many have new
	// addresses: 10,000 take half a minute.
	manyPerSecond = 400
)

// rest returns how the API is reached.
func (c Config) rest() (out *rest.Config, err error) {
	if c.Kubeconfig == "" {
		out, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			err = errors.New("this process runs in no pod: name the API with --kubeconfig FILE")
		}
	} else {
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}
		out, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context}).ClientConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("reading how the Kubernetes API is reached (%s): %w", cmp.Or(c.Kubeconfig, "in the pod"), err)
	}
	out.UserAgent = "tombolo/apiserver"
	out.QPS, out.Burst, out.WarningHandler = queriesPerSecond, queriesAtOnce, rest.NoWarnings{}
	return out, nil
}
