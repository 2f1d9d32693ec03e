package helm

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// Each testdata/NAME.values.yaml has what the chart renders for it beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := render(t, nil, string(raw))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		objects(t, text) // all of it can be read
		same(t, strings.TrimSuffix(file, ".values.yaml")+".yaml", text)
	}
}

// What is installed without Helm is what the chart renders.
func TestStaticManifests(t *testing.T) {
	dir := filepath.Join(root, "deploy", "kubernetes")
	raw, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := render(t, nil, string(raw))
	if err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(dir, "tombolo.yaml"), "# Rendered from deploy/helm/tombolo with values.yaml beside this file: do not edit\n"+
		"# it in the repository. docs/install.md says which lines are yours to change.\n"+text)
}

func TestLint(t *testing.T) {
	result := lint.RunAll(chartDir, values(t, east), "tombolo")
	for _, m := range result.Messages {
		if m.Severity >= support.WarningSev {
			t.Errorf("%v", m)
		}
	}
}
