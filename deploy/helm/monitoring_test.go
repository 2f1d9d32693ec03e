package helm

import (
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	promql "github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// decoded is a value of a secret's data.
func decoded(t *testing.T, secret *unstructured.Unstructured, key string) string {
	t.Helper()
	s, _, err := unstructured.NestedString(secret.Object, "data", key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%s %s: %v", secret.GetName(), key, err)
	}
	return string(raw)
}

const watched = `
monitoring:
  podMonitor: {enabled: true, labels: {release: prometheus}}
  rules: {enabled: true}
  dashboards: {enabled: true}
`

// literals are the strings in Tombolo's own code, which name its metrics.
func literals(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, dir := range []string{"agent", "bgp", "cmd", "clustermesh", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						out[s] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// checker judges expressions.
type checker struct {
	t     *testing.T
	known map[string]bool
	docs  string
	names map[string]bool
}

func newChecker(t *testing.T) *checker {
	raw, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	return &checker{t: t, known: literals(t), docs: string(raw), names: map[string]bool{}}
}

// intervals are what Grafana puts in the place of its variables.
var intervals = strings.NewReplacer("$__rate_interval", "1m", "$__interval", "1m")

// wrong says what is wrong with an expression, or nothing.
func (c *checker) wrong(expr string) string {
	parsed, err := promql.NewParser(promql.Options{}).ParseExpr(intervals.Replace(expr))
	if err != nil {
		return err.Error()
	}
	found, problem := 0, ""
	promql.Inspect(parsed, func(n promql.Node, _ []promql.Node) error {
		v, ok := n.(*promql.VectorSelector)
		if !ok {
			return nil
		}
		found++
		name := v.Name
		c.names[name] = true
		if !strings.HasPrefix(name, "tombolo_") || !c.known[name] {
			problem = "no code registers the metric " + name
		} else if !strings.Contains(c.docs, "`"+name+"`") {
			problem = "docs/metrics.md does not have the metric " + name
		}
		for _, m := range v.LabelMatchers {
			if m.Name == model.MetricNameLabel {
				continue
			}
			for value := range strings.SplitSeq(m.Value, "|") {
				if !c.known[m.Name] || !c.known[value] {
					problem = "no code sets " + m.Name + " of " + name + " to " + value
				}
			}
		}
		return nil
	})
	if found == 0 {
		return "it asks for no metric"
	}
	return problem
}

func TestAlerts(t *testing.T) {
	c := newChecker(t)
	rule := find(t, must(t, east, watched), "PrometheusRule", "tombolo")
	groups, _, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	if err != nil || len(groups) == 0 {
		t.Fatal("there are no groups", err)
	}
	seen := map[string]bool{}
	for _, g := range groups {
		for _, r := range g.(map[string]any)["rules"].([]any) {
			r := r.(map[string]any)
			name := r["alert"].(string)
			if problem := c.wrong(r["expr"].(string)); problem != "" {
				t.Errorf("%s: %s: %s", name, r["expr"], problem)
			}
			if seen[name] || !strings.HasPrefix(name, "Tombolo") {
				t.Errorf("%s is there twice, or is not ours by its name", name)
			}
			seen[name] = true
			notes := r["annotations"].(map[string]any)
			if severity := r["labels"].(map[string]any)["severity"]; severity != "critical" && severity != "warning" || notes["summary"] == "" || notes["description"] == "" {
				t.Errorf("%s says too little: %v", name, r)
			}
		}
	}
	// What docs/operating.md calls worth an alert has one.
	for _, name := range []string{"tombolo_ready", "tombolo_health", "tombolo_mirror_synced", "tombolo_mirror_refused", "tombolo_bgp_session_up", "tombolo_agent_stale", "tombolo_apiserver_held_deletions", "tombolo_datapath_selections_total"} {
		if !c.names[name] {
			t.Errorf("no alert asks for %s", name)
		}
	}
}

func TestCheckerBites(t *testing.T) {
	c := newChecker(t)
	for _, expr := range []string{"sum(tombolo_ready", "tombolo_redy == 0", "vector(1)", "up == 0", `tombolo_health{state="Fine"} == 0`} {
		if c.wrong(expr) == "" {
			t.Errorf("%s passes", expr)
		}
	}
}

func TestDashboards(t *testing.T) {
	c := newChecker(t)
	uids, queries := map[string]bool{}, 0
	for _, o := range must(t, east, watched) {
		if o.GetKind() != "ConfigMap" {
			continue
		}
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range data {
			var d dashboard
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if d.UID == "" || d.Title == "" || uids[d.UID] {
				t.Errorf("%s: uid %q, title %q", file, d.UID, d.Title)
			}
			uids[d.UID] = true
			queries += d.check(t, c)
		}
		if o.GetLabels()["grafana_dashboard"] != "1" {
			t.Errorf("%s: Grafana's sidecar does not find it", o.GetName())
		}
	}
	if len(uids) < 2 || queries < 20 {
		t.Errorf("%d dashboards with %d queries", len(uids), queries)
	}
}

// dashboard is what is checked of one.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

var variable = regexp.MustCompile(`\$\{?[a-z]`)

// check judges the panels and returns how many queries there are.
func (d dashboard) check(t *testing.T, c *checker) (queries int) {
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("%s: panel %d %q is there twice or has no title", d.Title, p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s: %q lies over %q or beyond the edge", d.Title, p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			queries++
			if problem := c.wrong(q.Expr); problem != "" {
				t.Errorf("%s: %q: %s: %s", d.Title, p.Title, q.Expr, problem)
			}
			if variable.MatchString(q.Expr) {
				t.Errorf("%s: %q asks for a variable that there is not", d.Title, q.Expr)
			}
		}
	}
	return queries
}
