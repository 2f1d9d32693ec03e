package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// kubernetesFlag has a lab's clusters have control planes, of the programs that
// make kube put beside this one.
func kubernetesFlag(c *cobra.Command, size *plan.Config) {
	c.Flags().StringVar(&size.Kubernetes, "kubernetes", "", "each cluster has a kube-apiserver, and pods are objects; DIR has the programs of make kube, by default that of tombolo")
	c.Flags().Lookup("kubernetes").NoOptDefVal = besideUs
}

// besideUs is the value of --kubernetes alone.
const besideUs = "beside tombolo"

// programs completes what kubernetesFlag read.
func programs(size *plan.Config, binary string) error {
	if size.Kubernetes == "" {
		return nil
	}
	if size.Kubernetes == besideUs {
		size.Kubernetes = filepath.Dir(binary)
	}
	var err error
	if size.Kubernetes, err = filepath.Abs(size.Kubernetes); err != nil {
		return fmt.Errorf("finding the programs of Kubernetes: %w", err)
	}
	return nil
}

func newLabKubeconfig(f *labFlags) *cobra.Command {
	var cluster string
	c := &cobra.Command{
		Use:   "kubeconfig -c CLUSTER",
		Short: "Prints the kubeconfig of a cluster's operator, for who runs in its namespaces",
		Long: `Prints the kubeconfig of a cluster's operator, who may do all. The kube-apiserver that
it names can be reached from the lab's machines alone.`,
		Example: `  tombolo lab kubeconfig -c east > east.kubeconfig
  tombolo lab exec east-1 -- kubectl --kubeconfig $PWD/east.kubeconfig get pods -A`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			path, err := l.Kubeconfig(cluster)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("reading the kubeconfig of %s: %w", cluster, err)
			}
			_, err = c.OutOrStdout().Write(raw)
			return err
		},
	}
	f.clusterFlag(c, &cluster)
	return c
}

func newLabKubectl(f *labFlags) *cobra.Command {
	var cluster string
	c := &cobra.Command{
		Use:   "kubectl -c CLUSTER -- ARGUMENT...",
		Short: "Becomes kubectl on the first node of a cluster",
		Long: `Becomes kubectl on the first node of a cluster, as the cluster's operator: what follows
-- is kubectl's. Only in a lab that was brought up with --kubernetes.`,
		Example: `  tombolo lab kubectl -c east -- get pods -A -o wide
  tombolo lab kubectl -c east -- annotate pod -n demo east-1-a lab.tombolo.io/not-ready=`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			return l.ExecKubectl(cluster, args)
		},
	}
	f.clusterFlag(c, &cluster)
	return c
}

func (f *labFlags) clusterFlag(c *cobra.Command, cluster *string) {
	c.Flags().StringVarP(cluster, "cluster", "c", "", "the cluster")
	c.RegisterFlagCompletionFunc("cluster", withEnvironment(f.completeCluster))
	c.MarkFlagRequired("cluster")
}
