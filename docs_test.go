package tombolo

import (
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
)

// sources calls do for every file of our own code.
func sources(t *testing.T, do func(*ast.File)) {
	t.Helper()
	for _, dir := range []string{"agent", "bgp", "cmd", "clustermesh", "internal"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				do(f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// text is the string that an expression is, if it is written there.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value) // the parser took it
	return s
}

// missing reports what a page of docs does not have, between back quotes.
func missing(t *testing.T, page, what string, all map[string]bool, least int) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("docs", page))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < least {
		t.Errorf("found %d of what is a %s", len(all), what)
	}
	for name := range all {
		if !strings.Contains(string(raw), "`"+name+"`") {
			t.Errorf("docs/%s does not have the %s %s", page, what, name)
		}
	}
}

// metric is a name of one; they are written whole wherever they are counted.
var metric = regexp.MustCompile(`^tombolo(_[a-z0-9]+)+$`)

func TestMetricsAreInTheDocs(t *testing.T) {
	names := map[string]bool{}
	sources(t, func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && metric.MatchString(text(e)) {
				names[text(e)] = true
			}
			return true
		})
	})
	missing(t, "metrics.md", "metric", names, 50)
}

// pagesOf are the paths that a file has a control.Page at; constants may name them.
func pagesOf(f *ast.File, constants map[string]string) (paths []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || !holdsPages(lit.Type) {
			return true
		}
		for _, e := range lit.Elts {
			key := e.(*ast.KeyValueExpr).Key
			switch k := key.(type) {
			case *ast.Ident:
				paths = append(paths, constants[k.Name])
			case *ast.SelectorExpr:
				paths = append(paths, constants[k.Sel.Name])
			default:
				paths = append(paths, text(key))
			}
		}
		return true
	})
	return paths
}

func holdsPages(typ ast.Expr) bool {
	m, ok := typ.(*ast.MapType)
	if !ok {
		return false
	}
	value, ok := m.Value.(*ast.SelectorExpr)
	return ok && value.Sel.Name == "Page"
}

func TestPagesAreInTheDocs(t *testing.T) {
	constants := map[string]string{}
	sources(t, func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 && strings.HasPrefix(text(v.Values[0]), "/") {
				constants[v.Names[0].Name] = text(v.Values[0])
			}
			return true
		})
	})
	paths := map[string]bool{}
	sources(t, func(f *ast.File) {
		for _, p := range pagesOf(f, constants) {
			if p == "" {
				t.Errorf("package %s has a page whose path cannot be read", f.Name.Name)
			}
			paths[p] = true
		}
	})
	missing(t, "operating.md", "page", paths, 20)
}
