// Package crds holds the CustomResourceDefinitions that controller-gen makes of
// api/v1alpha1, for programs that install them.
package crds

import (
	"bytes"
	"embed"
	"fmt"
)

//go:embed *.yaml
var files embed.FS

// All returns all of them as one file of several documents.
func All() []byte {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(fmt.Sprintf("reading embedded files: %v", err))
	}
	var out [][]byte
	for _, e := range entries {
		raw, err := files.ReadFile(e.Name())
		if err != nil {
			panic(fmt.Sprintf("reading an embedded file: %v", err))
		}
		out = append(out, raw)
	}
	return bytes.Join(out, []byte("---\n"))
}
