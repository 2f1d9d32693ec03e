// Command apidocs writes docs/api.md from the custom resource definitions in
// deploy/crds: every kind with its fields, their types, bounds, defaults and
// rules, in the words of the Go types' comments.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

func main() {
	out := flag.String("out", "", "the page to write")
	flag.Parse()
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	kinds, err := read(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(page(kinds)), 0o644)
}

// read reads the definitions of a directory, in the order of their files.
func read(dir string) ([]definition, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("reading definitions: there are none in %q", dir)
	}
	var kinds []definition
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("reading a definition: %w", err)
		}
		var d definition
		if err := yaml.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("reading the definition in %s: %w", f, err)
		}
		if len(d.Spec.Versions) != 1 {
			return nil, fmt.Errorf("reading the definition in %s: it has %d versions, and the page is made for one", f, len(d.Spec.Versions))
		}
		kinds = append(kinds, d)
	}
	return kinds, nil
}
