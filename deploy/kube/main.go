// Command kube is a real Kubernetes control plane for tests and the lab: one
// program that is kube-apiserver, kube-controller-manager or kubectl, after the
// name by which it is called. They share nearly all of their code, so one
// program is linked in a third of the time and takes a third of the room.
//
// It is a module of its own, so that nothing of Kubernetes beyond its client
// reaches the product. `make kube` builds it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/version" // the build's version among the metrics
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// programs are what this one can be. Each is made only when it is called:
// making one registers its feature gates and flags for the whole process.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	program, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: call me kube-apiserver, kube-controller-manager or kubectl (make kube makes these links)\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(program()))
}
