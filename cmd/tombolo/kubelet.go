package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/control"
)

// labRole are the flags of a process that only labs run.
type labRole struct {
	node, runDir string
	logs         logFlags
}

func (r *labRole) add(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&r.node, "node-name", "", "name of the node")
	runDirFlag(c.Flags(), &r.runDir)
	r.logs.add(c.Flags())
	return c
}

// newKubelet is what makes Pod objects of a lab's cluster the pods of its nodes.
func newKubelet() *cobra.Command {
	var r labRole
	var base, name, kubeconfig string
	c := &cobra.Command{
		Use:    string(lab.Kubelet),
		Short:  "Runs the pods that a lab's kube-apiserver has bound to a node",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			l, err := lab.Load(base, binary, name)
			if err != nil {
				return err
			}
			var ready atomic.Bool
			return r.run(c.Context(), lab.Kubelet, &ready, func(ctx context.Context, log *slog.Logger) error {
				return l.RunKubelet(ctx, r.node, kubeconfig, func() { ready.Store(true) }, log)
			})
		},
	}
	c.Flags().StringVar(&base, "lab-dir", lab.DefaultBase, "where labs keep their state")
	c.Flags().StringVar(&name, "lab", "", "the lab's name")
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how kube-apiserver is reached")
	return r.add(c)
}

// newKubeEtcd is the store of a lab's kube-apiserver, newLabEtcd that of a lab's
// cluster whose API server has none in it.
func newKubeEtcd() *cobra.Command {
	return newEtcd(lab.KubeEtcd, "Runs the etcd of a lab's kube-apiserver")
}

func newLabEtcd() *cobra.Command {
	return newEtcd(lab.Etcd, "Runs the etcd of a lab's cluster, apart from its API server")
}

func newEtcd(role lab.Role, short string) *cobra.Command {
	var r labRole
	cfg := embedded.Config{EpochKey: clustermesh.EpochKey, Users: embedded.Tombolo(clustermesh.Root)}
	c := &cobra.Command{
		Use:    string(role),
		Short:  short,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var ready atomic.Bool
			return r.run(c.Context(), role, &ready, func(ctx context.Context, log *slog.Logger) error {
				server, err := embedded.Start(ctx, cfg, log)
				if err != nil {
					return err
				}
				defer server.Stop()
				ready.Store(true)
				select {
				case err := <-server.Err():
					return err
				case <-ctx.Done():
					return nil
				}
			})
		},
	}
	c.Flags().StringVar(&cfg.Dir, "data-dir", "", "its directory")
	c.Flags().StringSliceVar(&cfg.Listen, "listen", nil, "the URL on which it listens")
	c.Flags().StringVar(&cfg.TLS.CA, "tls-ca", "", "PEM file of its clients' authority; without it nobody is authenticated")
	c.Flags().StringVar(&cfg.TLS.Cert, "tls-cert", "", "PEM file of its certificate")
	c.Flags().StringVar(&cfg.TLS.Key, "tls-key", "", "PEM file of that certificate's key")
	return r.add(c)
}

// run runs a role that shows of itself only whether it is ready.
func (r *labRole) run(ctx context.Context, role lab.Role, ready *atomic.Bool, run func(context.Context, *slog.Logger) error) error {
	log, err := r.logs.logger(os.Stderr)
	if err != nil {
		return err
	}
	surface := control.Surface{
		Role: string(role), Node: r.node, Version: version,
		Health: func() (clustermesh.Health, []string) { return clustermesh.HealthOK, nil },
		Ready: func() error {
			if !ready.Load() {
				return errors.New("it has not started yet")
			}
			return nil
		},
	}
	return runRole(ctx, r.runDir, surface, log, func(ctx context.Context) error { return run(ctx, log) })
}
