package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/objects"
)

func newLabApply(f *labFlags) *cobra.Command {
	return objectCommand(f, &cobra.Command{
		Use:   "apply -c CLUSTER -f FILE",
		Short: "Writes the objects of a YAML file into a cluster's manifests, or its kube-apiserver",
		Long: `Writes the objects of a YAML file into the directory of a cluster's manifests, an
object a file; in a lab with Kubernetes gives them to the cluster's kube-apiserver, as
kubectl apply --server-side does. An object of the same kind and name is replaced. When
a document is no object nothing is written.`,
		Example: `  tombolo lab apply -c east -f service.yaml
  tombolo lab exec east-1 -- cat service.yaml | tombolo lab apply -c west -f -`,
	}, "applying", "written", (*lab.Lab).Apply)
}

func newLabDelete(f *labFlags) *cobra.Command {
	return objectCommand(f, &cobra.Command{
		Use:   "delete -c CLUSTER -f FILE",
		Short: "Removes the objects of a YAML file from a cluster's manifests, or its kube-apiserver",
		Long: `Removes the objects of a YAML file from the directory of a cluster's manifests; in a
lab with Kubernetes from the cluster's kube-apiserver, as kubectl delete does. Of the
file only kinds and names count.`,
		Example: "  tombolo lab delete -c east -f service.yaml",
	}, "deleting", "deleted", (*lab.Lab).Delete)
}

// objectCommand completes a command that does something with the objects of a file.
func objectCommand(f *labFlags, c *cobra.Command, doing, done string, do func(*lab.Lab, string, []byte) ([]objects.Object, error)) *cobra.Command {
	var cluster, file string
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := f.load()
		if err != nil {
			return err
		}
		raw, err := readInput(c.InOrStdin(), file)
		if err != nil {
			return err
		}
		all, err := do(l, cluster, raw)
		for _, o := range all {
			fmt.Fprintf(c.OutOrStdout(), "%s %s %s\n", o.Kind, o.FullName(), done)
		}
		if err != nil {
			return fmt.Errorf("%s the objects of %s: %w", doing, named(file), err)
		}
		return nil
	}
	f.clusterFlag(c, &cluster)
	c.Flags().StringVarP(&file, "filename", "f", "", "the file; - is standard input")
	c.MarkFlagRequired("filename")
	return c
}

// named is a file as errors name it.
func named(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}
