package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// page reads one of docs.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCommandsAreInTheDocs(t *testing.T) {
	operating, lab := page(t, "operating.md"), page(t, "lab.md")
	roles := []string{"agent", "apiserver", "speaker"}
	visible(newRoot(), func(path string, c *cobra.Command) {
		first, _, _ := strings.Cut(path, " ")
		switch {
		case slices.Contains(roles, first), first == "completion", first == "help", strings.HasPrefix(path, "store "):
		case first == "lab":
			if c.Runnable() && !strings.Contains(lab, path) && !strings.Contains(lab, strings.TrimPrefix(path, "lab ")) {
				t.Errorf("docs/lab.md does not have tombolo %s", path)
			}
		case !strings.Contains(operating, "tombolo "+path):
			t.Errorf("docs/operating.md does not have tombolo %s", path)
		}
	})
}

func TestMapSizesInTheDocs(t *testing.T) {
	for name, want := range map[string]string{
		"loadbalancing.md": "The defaults take about " + mapMemory("default") + " from the start, `small` " + mapMemory("small") + ", `large` " + mapMemory("large"),
		"lab.md":           "nodes, " + mapMemory("default") + " each",
	} {
		if text := strings.Join(strings.Fields(page(t, name)), " "); !strings.Contains(text, want) {
			t.Errorf("docs/%s does not say %q", name, want)
		}
	}
}
