package helm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// chartDir is the chart's folder, root the repository's.
const (
	chartDir = "tombolo"
	root     = "../.."
)

// east are the least values that the chart takes.
const east = `
cluster:
  name: east
  id: 1
  podCIDRs: [10.1.0.0/16]
  nodeCIDRs: [172.20.1.0/24]
  serviceCIDRs: [10.96.0.0/16]
certificates: {mode: existing}
`

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values merges documents of values, later ones over earlier ones.
func values(t *testing.T, documents ...string) map[string]any {
	t.Helper()
	merged := map[string]any{}
	for _, d := range documents {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(d), &v); err != nil {
			t.Fatal(err)
		}
		merged = loader.MergeMaps(merged, v)
	}
	return merged
}

// render renders the chart as helm install would; provider is the cluster that
// it looks into, nil for none.
func render(t *testing.T, provider engine.ClientProvider, documents ...string) (string, error) {
	t.Helper()
	c := load(t)
	release := common.ReleaseOptions{Name: "tombolo", Namespace: "tombolo", IsInstall: true, Revision: 1}
	all, err := util.ToRenderValues(c, values(t, documents...), release, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	var files map[string]string
	if provider == nil {
		files, err = engine.Render(c, all)
	} else {
		files, err = engine.RenderWithClientProvider(c, all, provider)
	}
	if err != nil {
		return "", err
	}
	return joined(files), nil
}

// joined is what was rendered as one stream, in the order of the files' names.
func joined(files map[string]string) string {
	var names []string
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out strings.Builder
	for _, name := range names {
		for doc := range strings.SplitSeq("\n"+files[name], "\n---") {
			if doc = strings.Trim(doc, "\n"); doc != "" && !blank(doc) {
				fmt.Fprintf(&out, "---\n%s\n", doc)
			}
		}
	}
	return out.String()
}

// blank says whether a document has nothing but comments.
func blank(doc string) bool {
	for line := range strings.Lines(doc) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// must renders, and reads what was rendered.
func must(t *testing.T, documents ...string) []*unstructured.Unstructured {
	t.Helper()
	text, err := render(t, nil, documents...)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, text)
}

// objects reads a stream of objects; a field that is given twice is an error.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	d := kubeyaml.NewYAMLReader(newReader(text))
	for {
		raw, err := d.Read()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := yaml.UnmarshalStrict(raw, &o); err != nil {
			t.Fatalf("%v in\n%s", err, raw)
		}
		if len(o) > 0 {
			out = append(out, &unstructured.Unstructured{Object: o})
		}
	}
}

// find returns the object of this kind and name.
func find(t *testing.T, all []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range all {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// same compares a file with what it should hold; UPDATE=1 writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(have, []byte(want)) {
		return
	}
	old, now := strings.Split(string(have), "\n"), strings.Split(want, "\n")
	for i := range max(len(old), len(now)) {
		if i >= len(old) || i >= len(now) || old[i] != now[i] {
			t.Fatalf("%s differs from what the chart renders, first in line %d; UPDATE=1 go test -C %s . writes it\nfile:  %q\nchart: %q",
				path, i+1, filepath.Join("deploy", "helm"), at(old, i), at(now, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}
