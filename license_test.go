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

// dual is what a file of eBPF C may be used under, as CONTRIBUTING.md says: the kernel
// asks for the one, and who copies from it chooses.
const dual = "(GPL-2.0-only OR BSD-2-Clause)"

// spdx finds what an SPDX line says.
var spdx = regexp.MustCompile(`(?m)^// SPDX-License-Identifier: (.*)$`)

// Every file of eBPF C is under both licenses, and the text of each is in the tree.
func TestLicenses(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".c", ".h"}, filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if found := spdx.FindSubmatch(text); found == nil || string(found[1]) != dual {
			t.Errorf("%s has no line // SPDX-License-Identifier: %s", path, dual)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("found no file of eBPF C")
	}
	var want, have []string
	for name := range strings.SplitSeq(strings.Trim(dual, "()"), " OR ") {
		want = append(want, name+".txt")
	}
	texts, err := os.ReadDir("LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range texts {
		have = append(have, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("LICENSES has %v, want the texts %v", have, want)
	}
}
