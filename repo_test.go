// Package tombolo has no code of its own: its test checks what the design says
// of the whole tree – who may import what, that packages and exports are
// documented, that no test skips, and that licenses and metrics are written down.
package tombolo

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "tombolo.io/tombolo"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Doc, Name string
	Imports                    []string
	GoFiles                    []string
	TestGoFiles, XTestGoFiles  []string
}

func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// packages are those of the product.
func packages(t *testing.T) []pkg {
	t.Helper()
	all := list(t, ".")
	if len(all) < 2 {
		t.Fatalf("found %d packages", len(all))
	}
	return all
}

// everyPackage are those of the product and of the modules within it, of which
// the imports are not told: that would need all that they depend on.
func everyPackage(t *testing.T) []pkg {
	t.Helper()
	all := packages(t)
	for _, dir := range []string{"deploy/helm", "deploy/kube"} {
		within := list(t, dir, "-find")
		if len(within) == 0 {
			t.Fatalf("found no package in %s", dir)
		}
		all = append(all, within...)
	}
	return all
}

// list returns the packages of the module in a directory.
func list(t *testing.T, dir string, flags ...string) []pkg {
	t.Helper()
	args := append([]string{"list", "-json=ImportPath,Dir,Doc,Name,Imports,GoFiles,TestGoFiles,XTestGoFiles"}, flags...)
	cmd := exec.Command("go", append(args, "./...")...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages of %s: %v", dir, err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("reading the list of packages of %s: %v", dir, err)
		}
		all = append(all, p)
	}
	return all
}

// within says whether path is one of the folders or lies below one.
func within(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// libraryHomes names the only folders that may import a library.
var libraryHomes = map[string][]string{
	// The lab's kubelet keeps the status of real Pods and Nodes: it is a client of
	// the API as the source is, and no part of the product.
	"k8s.io":                          {"clustermesh/source", "api", "deploy/lab/kubelet"},
	"sigs.k8s.io/mcs-api":             {"clustermesh/source"},
	"k8s.io/cri-api":                  {"agent/pods/cri"}, // no client of Kubernetes, but the container runtime's own protocol
	"github.com/osrg/gobgp":           {"bgp", "deploy/lab/router"},
	"github.com/hashicorp/memberlist": {"agent/health"},
	"github.com/cilium/ebpf":          {"bpf", "agent/loadbalancer", "agent/policy", "agent/flows"},
	"go.etcd.io/etcd":                 {"etcd"},
}

// pure names the packages that may import nothing of ours but what is listed,
// and of other modules only what their own format needs.
var pure = map[string][]string{
	"clustermesh":            {"clustermesh/meshpb"},
	"clustermesh/global":     {"clustermesh"},
	"clustermesh/identity":   {"clustermesh"},
	"clustermesh/ipam":       {"clustermesh"},
	"clustermesh/clusterset": {"clustermesh"},
	"clustermesh/standing":   {"clustermesh"},
	"agent/maglev":           {},
	"agent/outlier":          {"clustermesh"},
	"bgp/advertise":          {"clustermesh", "clustermesh/global"},
}

// noDomain names the packages that know nothing of clusters and services.
var noDomain = []string{"etcd", "bpf", "internal/reconcile"}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if why := refused(p.path(), imp); why != "" {
				t.Errorf("%s imports %s: %s", p.path(), imp, why)
			}
		}
	}
}

func refused(path, imp string) string {
	if homes := homesOf(imp); homes != nil && !within(path, homes...) {
		return "only " + strings.Join(homes, ", ") + " may"
	}
	ours, own := strings.CutPrefix(imp, module+"/")
	if allowed, ok := pure[path]; ok {
		if own && !slices.Contains(allowed, ours) {
			return "a pure package, which imports only " + strings.Join(allowed, ", ")
		}
		if !own && strings.Contains(imp, ".") && !within(imp, "google.golang.org/protobuf") {
			return "a pure package imports the standard library"
		}
	}
	if !own {
		return ""
	}
	switch {
	case ours == "clustermesh/meshpb" && path != "clustermesh":
		return "only clustermesh may"
	case within(path, noDomain...) && !within(ours, noDomain...):
		return "it knows no domain"
	case within(path, "agent") && within(ours, "bgp"), within(path, "bgp") && within(ours, "agent"):
		return "agent and bgp never import each other"
	case within(ours, "cmd") || within(ours, "deploy") && !within(path, "cmd", "deploy", "e2e"):
		return "imports run downwards only"
	}
	return ""
}

// homesOf returns who may import a package: by the rule of the longest path that it
// is within; nil when there is none.
func homesOf(imp string) (homes []string) {
	longest := ""
	for library := range libraryHomes {
		if within(imp, library) && len(library) > len(longest) {
			longest, homes = library, libraryHomes[library]
		}
	}
	return homes
}

func TestImportRulesBite(t *testing.T) {
	for _, c := range []struct{ path, imp string }{
		{"agent", "k8s.io/api/core/v1"},
		{"clustermesh/global", module + "/etcd"},
		{"clustermesh/global", "github.com/google/go-cmp/cmp"},
		{"etcd", module + "/clustermesh"},
		{"bgp", module + "/agent/loadbalancer"},
		{"agent", module + "/bgp"},
		{"clustermesh/view", module + "/clustermesh/meshpb"},
		{"agent", module + "/deploy/lab"},
		{"agent/pods", "k8s.io/cri-api/pkg/apis/runtime/v1"},
		{"agent/pods/cri", "k8s.io/api/core/v1"},
		{"cmd/tombolo", "github.com/osrg/gobgp/v3/pkg/server"},
	} {
		if refused(c.path, c.imp) == "" {
			t.Errorf("%s may import %s", c.path, c.imp)
		}
	}
	if why := refused("bgp/advertise", module+"/clustermesh/global"); why != "" {
		t.Errorf("advertise may not import global: %s", why)
	}
}

func TestPackagesAreNamedAndDocumented(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "types"}
	for _, p := range everyPackage(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.path())
		}
		if slices.Contains(vague, filepath.Base(p.path())) {
			t.Errorf("%s has a name that says nothing", p.path())
		}
	}
}

func TestExportsAreDocumented(t *testing.T) {
	for _, p := range everyPackage(t) {
		for _, name := range p.GoFiles {
			eachFile(t, p, name, func(fset *token.FileSet, f *ast.File) {
				if ast.IsGenerated(f) || p.Name == "main" {
					return
				}
				for _, pos := range undocumented(f) {
					t.Errorf("%s: exported without a comment", fset.Position(pos))
				}
			})
		}
	}
}

// undocumented returns the exported declarations of a file that have neither a
// comment of their own nor, in a group, one on the line or above the group.
func undocumented(f *ast.File) []token.Pos {
	var bad []token.Pos
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				bad = append(bad, d.Pos())
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if !documentedSpec(d, s) {
					bad = append(bad, s.Pos())
				}
			}
		}
	}
	return bad
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func documentedSpec(d *ast.GenDecl, s ast.Spec) bool {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return !s.Name.IsExported() || d.Doc != nil || s.Doc != nil
	case *ast.ValueSpec:
		exported := slices.ContainsFunc(s.Names, (*ast.Ident).IsExported)
		return !exported || d.Doc != nil || s.Doc != nil || s.Comment != nil
	}
	return true
}

func TestNothingSkips(t *testing.T) {
	for _, p := range everyPackage(t) {
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			eachFile(t, p, name, func(fset *token.FileSet, f *ast.File) {
				ast.Inspect(f, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
						t.Errorf("%s: a test that lacks something fails and says what", fset.Position(n.Pos()))
					}
					return true
				})
			})
		}
	}
}

func eachFile(t *testing.T, p pkg, name string, do func(*token.FileSet, *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
	if err != nil {
		t.Errorf("parsing %s: %v", name, err)
		return
	}
	do(fset, f)
}
