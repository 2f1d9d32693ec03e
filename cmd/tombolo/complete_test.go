package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/deploy/lab"
)

// visible calls do for every command that help shows, with its path below tombolo.
func visible(c *cobra.Command, do func(path string, c *cobra.Command)) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			do(strings.TrimPrefix(sub.CommandPath(), "tombolo "), sub)
			visible(sub, do)
		}
	}
}

// directive finds what the shell is told at the end.
var directive = regexp.MustCompile(`(?m)^:(\d+)$`)

// offersFiles says whether a shell would offer files for the last word.
func offersFiles(t *testing.T, args ...string) bool {
	t.Helper()
	out, err := run(t, append([]string{"__complete"}, args...)...)
	told := directive.FindStringSubmatch(out)
	if err != nil || told == nil {
		t.Fatalf("completing %q: %q, %v", args, out, err)
	}
	return told[1] == "0"
}

func TestFilesAreOfferedWhereTheyAreWanted(t *testing.T) {
	t.Setenv("TOMBOLO_LAB_DIR", t.TempDir())
	t.Setenv("TOMBOLO_RUN_DIR", t.TempDir())
	arguments := []string{"store snapshot", "store restore"}
	flags := []string{"pods"} // of the agent: a word, or a path
	flags = append(flags, fileFlags...)
	visible(newRoot(), func(path string, c *cobra.Command) {
		if strings.HasPrefix(path, "completion") {
			return // cobra's own
		}
		words := strings.Fields(path)
		if got, want := offersFiles(t, append(words, "")...), slices.Contains(arguments, path); got != want {
			t.Errorf("tombolo %s <TAB>: offers files %v, want %v", path, got, want)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.NoOptDefVal != "" || f.Name == "help" || f.Name == "pods" && path != "agent" {
				return
			}
			if got, want := offersFiles(t, append(words, "--"+f.Name, "")...), slices.Contains(flags, f.Name); got != want {
				t.Errorf("tombolo %s --%s <TAB>: offers files %v, want %v", path, f.Name, got, want)
			}
		})
	})
}

func TestWordsAreOffered(t *testing.T) {
	labs := t.TempDir()
	t.Setenv("TOMBOLO_LAB_DIR", labs)
	t.Setenv("TOMBOLO_RUN_DIR", t.TempDir())
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(labs, name+".lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(labs, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []string // those that the agent takes
	for _, s := range bpf.NamedSizes() {
		sizes = append(sizes, s.Name)
	}
	for args, want := range map[string]string{
		"verdict set":             "cluster node",
		"verdict set node":        "",
		"verdict set node n1":     "up down",
		"verdict clear":           "cluster node",
		"verdict clear node n1":   "",
		"identities":              "of",
		"identities of":           "",
		"lab status --name":       "one two",
		"agent --log-level":       "debug info warn error",
		"apiserver --source":      "manifests kubernetes",
		"lab up --router":         "builtin frr bird",
		"undrain":                 "cluster node service",
		"agent --maps":            strings.Join(sizes, " "),
		"lab up --maps":           "default small",
		"lab exec":                "", // of a lab that is not there
		"lab fault cut":           "",
		"store get":               "", // of no store
		"bgp peers":               "",
		"lab kill east-1 agent x": "",
	} {
		out, err := run(t, append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		got, _, found := strings.Cut(out, ":4\n")
		if err != nil || !found || strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("tombolo %s <TAB>: %q, %v; want %q", args, out, err, want)
		}
	}
}

func TestVerdictsAreOfferedByName(t *testing.T) {
	s := &health.Snapshot{Verdicts: []health.Verdict{
		{Verdict: clustermesh.Verdict{Cluster: "east"}},
		{Verdict: clustermesh.Verdict{Cluster: "east", Node: "east-1", Override: true}},
		{Verdict: clustermesh.Verdict{Cluster: "east", Node: "n"}},
		{Verdict: clustermesh.Verdict{Cluster: "west", Override: true}},
		{Verdict: clustermesh.Verdict{Cluster: "west", Node: "n"}},
	}}
	for _, c := range []struct {
		kind   string
		byHand bool
		want   string
	}{
		{"cluster", false, "east west"},
		{"cluster", true, "west"},
		{"node", false, "east-1 east/n west/n"},
		{"node", true, "east-1"},
		{"service", false, ""},
	} {
		if got := strings.Join(judged(s, c.kind, c.byHand), " "); got != c.want {
			t.Errorf("%s, by hand %v: %q, want %q", c.kind, c.byHand, got, c.want)
		}
	}
}

func TestNoLabsAreOfferedWhereThereIsNone(t *testing.T) {
	if names, err := lab.Names(filepath.Join(t.TempDir(), "none")); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
}
