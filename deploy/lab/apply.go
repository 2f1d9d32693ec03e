package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tombolo.io/tombolo/deploy/lab/objects"
)

// Apply gives the objects of a YAML file to a cluster: to its kube-apiserver, by
// server-side apply, where it has one, otherwise into its manifests, a file
// an object, each replaced by a rename; an object of the same kind and name is
// replaced. It returns what it wrote. When a document of the file is no object
// nothing is written.
func (l *Lab) Apply(cluster string, raw []byte) ([]objects.Object, error) {
	if _, ok := l.Cluster(cluster); !ok {
		return nil, l.noCluster(cluster)
	}
	all, err := objects.Split(raw)
	if err != nil {
		return nil, err
	}
	if l.Kubernetes != "" {
		_, err := l.Kubectl(context.Background(), cluster, raw, "apply", "--server-side", "--force-conflicts", "-f", "-")
		return all, err
	}
	for _, o := range all {
		if err := l.replace(cluster, o); err != nil {
			return nil, fmt.Errorf("writing %s %s: %w", o.Kind, o.FullName(), err)
		}
	}
	return all, nil
}

// replace writes beside the manifests and renames, so that who watches the
// directory sees one whole file appear.
func (l *Lab) replace(cluster string, o objects.Object) error {
	f, err := os.CreateTemp(filepath.Join(l.clusterDir(cluster), "staging"), "*")
	if err != nil {
		return err
	}
	_, err = f.Write(o.YAML)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(l.Manifests(cluster), o.File()))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Delete removes the objects of a YAML file from a cluster's manifests. Those
// that are not there are named in the error, after the others are removed.
func (l *Lab) Delete(cluster string, raw []byte) ([]objects.Object, error) {
	if _, ok := l.Cluster(cluster); !ok {
		return nil, l.noCluster(cluster)
	}
	all, err := objects.Split(raw)
	if err != nil {
		return nil, err
	}
	if l.Kubernetes != "" {
		_, err := l.Kubectl(context.Background(), cluster, raw, "delete", "-f", "-")
		return all, err
	}
	var gone []objects.Object
	var errs []error
	for _, o := range all {
		switch err := os.Remove(filepath.Join(l.Manifests(cluster), o.File())); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("cluster %s has no %s %s", cluster, o.Kind, o.FullName()))
		case err != nil:
			errs = append(errs, err)
		default:
			gone = append(gone, o)
		}
	}
	return gone, errors.Join(errs...)
}

func (l *Lab) noCluster(name string) error {
	var names []string
	for _, c := range l.Clusters {
		names = append(names, c.Name)
	}
	return fmt.Errorf("lab %s has no cluster %q, only %v", l.Lab, name, names)
}
