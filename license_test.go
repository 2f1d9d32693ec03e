package tombolo

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licenses finds those that an SPDX line names.
var licenses = regexp.MustCompile(`(?m)^// SPDX-License-Identifier: \(?(.*?)\)?$`)

// Every file of eBPF C says its license, and the text of each is in the tree.
func TestLicenses(t *testing.T) {
	named := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".c", ".h"}, filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found := licenses.FindSubmatch(text)
		if found == nil {
			t.Errorf("%s has no line // SPDX-License-Identifier", path)
			return nil
		}
		for _, name := range strings.Split(string(found[1]), " OR ") {
			named[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(named) == 0 {
		t.Fatal("found no file of eBPF C")
	}
	for name := range named {
		if _, err := os.Stat(filepath.Join("LICENSES", name+".txt")); err != nil {
			t.Errorf("the text of a license is missing: %v", err)
		}
	}
	texts, err := os.ReadDir("LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range texts {
		if !named[strings.TrimSuffix(e.Name(), ".txt")] {
			t.Errorf("LICENSES/%s is the license of no file", e.Name())
		}
	}
}
