package main

import (
	"errors"
	"fmt"
	"log/slog"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes"
	"tombolo.io/tombolo/clustermesh/source/manifests"
)

// Where a cluster's objects may come from, as --source names it.
const (
	sourceManifests  = "manifests"
	sourceKubernetes = "kubernetes"
)

// checkSource returns what is wrong with where the objects come from.
func (f *apiserverFlags) checkSource() error {
	switch f.source {
	case sourceManifests:
		if f.kubeconfig != "" || f.context != "" {
			return errors.New("--kubeconfig and --kube-context are of no use without --source kubernetes")
		}
		if f.manifests == "" {
			return errors.New("the cluster's objects are missing: give --manifests, or --source kubernetes")
		}
	case sourceKubernetes:
		if f.manifests != "" {
			return errors.New("--manifests is of no use with --source kubernetes")
		}
		return f.kubernetes(nil).Validate()
	default:
		return fmt.Errorf("--source %q is not manifests or kubernetes", f.source)
	}
	return nil
}

// objects returns the source of the cluster's objects; leads says whether this
// API server leads.
func (f *apiserverFlags) objects(leads func() bool, log *slog.Logger) (source.Source, error) {
	if f.source == sourceKubernetes {
		return kubernetes.New(f.kubernetes(leads), log.With("part", "kubernetes"))
	}
	return manifests.New(manifests.Config{Dir: f.manifests}, log.With("part", "manifests")), nil
}

func (f *apiserverFlags) kubernetes(leads func() bool) kubernetes.Config {
	return kubernetes.Config{
		Kubeconfig: f.kubeconfig, Context: f.context, Shrink: f.config.Shrink, Node: f.config.Node, Leads: leads,
	}
}
