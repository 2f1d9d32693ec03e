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
	}, "written", (*lab.Lab).Apply)
}

func newLabDelete(f *labFlags) *cobra.Command {
	return objectCommand(f, &cobra.Command{
		Use:   "delete -c CLUSTER -f FILE",
		Short: "Removes the objects of a YAML file from a cluster's manifests",
	}, "deleted", (*lab.Lab).Delete)
}

// objectCommand completes a command that does something with the objects of a file.
func objectCommand(f *labFlags, c *cobra.Command, done string, do func(*lab.Lab, string, []byte) ([]objects.Object, error)) *cobra.Command {
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
		return err
	}
	f.clusterFlag(c, &cluster)
	c.Flags().StringVarP(&file, "filename", "f", "", "the file; - is standard input")
	c.MarkFlagRequired("filename")
	return c
}

func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}
