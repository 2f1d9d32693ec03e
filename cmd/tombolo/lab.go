package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// labFlags are those of every lab command.
type labFlags struct{ name string }

// base is where labs keep their state, as the kernel writes it: what is mounted
// below is found by that path.
func (labFlags) base() string {
	dir := cmp.Or(os.Getenv("TOMBOLO_LAB_DIR"), lab.DefaultBase)
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	// It is not there yet, but what it will lie in may be.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		return filepath.Join(parent, filepath.Base(dir))
	}
	return dir
}

// load finds the lab that is meant, to be run with this program.
func (f labFlags) load() (*lab.Lab, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return lab.Load(f.base(), binary, f.name)
}

func newLab() *cobra.Command {
	f := &labFlags{}
	c := &cobra.Command{
		Use:   "lab",
		Short: "Whole clusters, routers and a client in network namespaces of this machine (root)",
		Long: `Whole clusters, routers and a client in network namespaces of this machine, with the
real processes of this program in them: to try Tombolo, to break it on purpose and to
look at it. Nodes are called east-1, east-2, west-1 and so on, pods east-1-a, routers
router-east, and the client outside is the client. A lab needs root and Linux 6.1, and
touches nothing of the machine outside of its own namespaces, cgroup and directory.`,
		Example: `  tombolo lab up
  tombolo lab exec east-1 -- tombolo status
  tombolo lab exec east-1-a -- tombolo requests --target 10.96.0.80:80 --count 1000
  tombolo lab fault cut east west --only control
  tombolo lab down`,
		// In the place of the root's, of which cobra runs only the nearest.
		PersistentPreRunE: func(c *cobra.Command, args []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("a lab is made of network namespaces and cgroups, which takes root: sudo %s", c.CommandPath())
			}
			return environment(c, args)
		},
	}
	c.PersistentFlags().StringVar(&f.name, "name", "lab", "the lab's name; labs of different names live side by side")
	c.RegisterFlagCompletionFunc("name", f.completeName)
	c.AddCommand(newLabUp(f), newLabDown(f), newLabStatus(f), newLabExec(f),
		newLabApply(f), newLabDelete(f), newLabKill(f), newLabStart(f), newLabPod(f), newLabFault(f), newLabDemo(f),
		newLabKubeconfig(f), newLabKubectl(f))
	return c
}

// sizeFlags say how large each cluster of a lab is.
func sizeFlags(c *cobra.Command, size *plan.Config) {
	c.Flags().IntVar(&size.Nodes, "nodes", 2, fmt.Sprintf("number of nodes of a cluster, to %d", plan.MaxNodes))
	c.Flags().IntVar(&size.Pods, "pods", 2, fmt.Sprintf("number of pods of a node, to %d", plan.MaxPods))
	c.Flags().StringVar(&size.Router, "router", "builtin", "what the routers run: builtin, frr or bird")
	c.Flags().StringVar(&size.Family, "family", "ipv4", "what nodes speak BGP over, ipv4 or ipv6; routes of both families either way")
	c.Flags().StringVar(&size.Password, "bgp-password", "", "key of TCP MD5 that nodes and their router share; none by default")
	c.Flags().StringVar(&size.Maps, "maps", "small", fmt.Sprintf("size of the agents' maps: small, or default as on real nodes (%s each)", mapMemory("default")))
}

func newLabUp(f *labFlags) *cobra.Command {
	var size plan.Config
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "up",
		Short: "Brings a lab up; what is left of one that half died is removed first",
		Long: `Brings a lab up; what is left of one that half died is removed first, and one that is
up as it is wanted stays.

It builds clusters (east, west and so on) of nodes, each a network namespace with an
agent and a speaker, on the first node of a cluster the API server with its etcd; pods
with a responder; a router a cluster, all of them linked; and a client behind them.
Every cluster has the global service demo/echo, 10.96.0.80 port 80.

It needs root, Linux 6.1 or newer and cgroup2; --router frr and bird need their Debian
packages, lab fault needs nftables, and --kubernetes the programs of make kube. It ends
when all processes are ready. If one does not come up it quotes the end of its log, and
the lab stays as it is; logs are /run/tombolo-lab/<lab>/machines/<machine>/log/<role>.log
(below TOMBOLO_LAB_DIR, where that is set).`,
		Example: `  tombolo lab up
  tombolo lab up --clusters 3 --nodes 4
  tombolo lab up --name other --router frr --family ipv6
  tombolo lab up --kubernetes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			size.Lab = f.name
			if err := programs(&size, binary); err != nil {
				return err
			}
			l, err := lab.New(f.base(), binary, size)
			if err != nil {
				return err
			}
			if size.Kubernetes != "" && !c.Flags().Changed("timeout") {
				timeout *= 3 // a kube-apiserver takes the CPU of a whole lab to start
			}
			ctx, cancel := withTimeout(c.Context(), timeout)
			defer cancel()
			began := time.Now()
			if err := l.Up(ctx, progress(c.OutOrStdout())); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "lab %s is up after %.1f s; tombolo lab status --name %[1]s shows it\n", f.name, time.Since(began).Seconds())
			return nil
		},
	}
	c.Flags().IntVar(&size.Clusters, "clusters", 2, fmt.Sprintf("number of clusters, to %d", plan.MaxClusters))
	sizeFlags(c, &size)
	c.Flags().BoolVar(&size.ExternalEtcd, "external-etcd", false, "each cluster's etcd is a process of its own, role etcd, and not in its API server")
	kubernetesFlag(c, &size)
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "give up after this long; with Kubernetes three minutes by default")
	return c
}

// progress prints a line a stage.
func progress(w io.Writer) lab.Progress {
	return func(stage, what string, took time.Duration) {
		fmt.Fprintf(w, "%-9s %6d ms  %s\n", stage, took.Milliseconds(), what)
	}
}

func newLabDown(f *labFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Removes every process, namespace, cgroup, mount, pin and file of a lab",
		Long: `Removes every process, namespace, cgroup, mount, pin and file of a lab. All of them
bear its name, so it needs no notes, and works after a crash of anything, too. That
there is no such lab is no mistake.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			began := time.Now()
			err := lab.Down(c.Context(), f.base(), f.name)
			if errors.Is(err, lab.ErrNoLab) {
				fmt.Fprintf(c.OutOrStdout(), "there is no lab %s\n", f.name)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "lab %s is gone after %.1f s\n", f.name, time.Since(began).Seconds())
			return nil
		},
	}
}
