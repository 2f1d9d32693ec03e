package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// knobs is a command with a flag of each sort.
type knobs struct {
	name  string
	n     uint16
	list  []string
	on    bool
	wait  time.Duration
	other string
}

// runKnobs runs the command as the root does and returns what it printed.
func runKnobs(t *testing.T, args ...string) (knobs, string, error) {
	t.Helper()
	var k knobs
	c := &cobra.Command{Use: "knobs", SilenceUsage: true, SilenceErrors: true, PersistentPreRunE: environment,
		RunE: func(*cobra.Command, []string) error { return nil }}
	c.Flags().StringVar(&k.name, "name", "none", "a name: of what?")
	c.Flags().Uint16Var(&k.n, "the-number", 1, "a number")
	c.Flags().StringSliceVar(&k.list, "list", nil, "a list")
	c.Flags().BoolVar(&k.on, "enabled", false, "a switch")
	c.Flags().DurationVar(&k.wait, "wait", time.Second, "a duration")
	c.Flags().StringVar(&k.other, "other", "", "another")
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetArgs(args)
	err := configurable(c).ExecuteContext(t.Context())
	return k, out.String(), err
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tombolo.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCommandLineBeforeEnvironmentBeforeFile(t *testing.T) {
	t.Setenv("TOMBOLO_THE_NUMBER", "7")
	t.Setenv("TOMBOLO_NAME", "env")
	t.Setenv("TOMBOLO_PRINT_CONFIG", "true") // for the command line alone
	config := file(t, "name: file\nthe-number: 9\nlist: [a, \"b,c\"]\nenabled: true\nwait: 1m\nother: 1000000\n")
	got, out, err := runKnobs(t, "--config", config, "--name", "line")
	want := knobs{"line", 7, []string{"a", "b,c"}, true, time.Minute, "1000000"}
	if err != nil || got.name != want.name || got.n != want.n || !slices.Equal(got.list, want.list) ||
		got.on != want.on || got.wait != want.wait || got.other != want.other {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if out != "" {
		t.Errorf("printed %q", out)
	}
	t.Setenv("TOMBOLO_CONFIG", config)
	t.Setenv("TOMBOLO_LIST", "x,y")
	if got, _, err := runKnobs(t); err != nil || got.name != "env" || !slices.Equal(got.list, []string{"x", "y"}) || !got.on {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWrongSettingsAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		"nome: x":            `there is no setting "nome"`,
		"print-config: true": `there is no setting "print-config"`,
		"config: x":          `there is no setting "config"`,
		"the-number: 65536":  "setting the-number",
		"the-number: [1]":    "it is a list, and one value is wanted",
		"name: {a: b}":       "no single value",
		"list: [[a]]":        "no single value",
		"name: a\nname: b":   "already set",
		"- a":                "want settings",
		"name: [":            "yaml",
	} {
		config := file(t, text)
		if _, _, err := runKnobs(t, "--config", config); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), config) {
			t.Errorf("%q: got %v, want it to name the file and to say %q", text, err, want)
		}
	}
	_, _, err := runKnobs(t, "--config", file(t, "nome: x\nthe-number: x"))
	if err == nil || !strings.Contains(err.Error(), "nome") || !strings.Contains(err.Error(), "the-number") {
		t.Errorf("of two mistakes it says %v", err)
	}
	if _, _, err := runKnobs(t, "--config", "/nowhere"); err == nil || !strings.Contains(err.Error(), "reading --config") {
		t.Errorf("a file that is missing: %v", err)
	}
	t.Setenv("TOMBOLO_THE_NUMBER", "x")
	if _, _, err := runKnobs(t); err == nil || !strings.Contains(err.Error(), "TOMBOLO_THE_NUMBER") {
		t.Errorf("a wrong variable: %v", err)
	}
}

// What --print-config prints is what --config reads, also when every comment
// is made a setting.
func TestPrintedConfigIsReadBack(t *testing.T) {
	_, printed, err := runKnobs(t, "--print-config", "--name", "a: \"b\" #c", "--list", "x,y", "--enabled", "--the-number", "3")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := runKnobs(t, "--config", file(t, printed))
	if err != nil || got.name != `a: "b" #c` || !slices.Equal(got.list, []string{"x", "y"}) || !got.on || got.n != 3 || got.wait != time.Second {
		t.Errorf("got %+v, %v from\n%s", got, err, printed)
	}
	var all strings.Builder
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		all.WriteString(line)
	}
	again, _, err := runKnobs(t, "--config", file(t, all.String()))
	if err != nil || again.name != got.name || again.wait != got.wait {
		t.Errorf("got %+v, %v from\n%s", again, err, all.String())
	}
}

// Every role's settings print and read back.
func TestRolesPrintTheirConfig(t *testing.T) {
	roles := 0
	for _, c := range newRoot().Commands() {
		if c.Flags().Lookup("print-config") == nil {
			continue
		}
		roles++
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{c.Name(), "--print-config"})
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
			continue
		}
		text := strings.ReplaceAll(out.String(), "\n#", "\n")
		var settings []string
		for line := range strings.Lines(text) {
			if name, _, ok := strings.Cut(line, ": "); ok && c.Flags().Lookup(name) != nil {
				settings = append(settings, line)
			}
		}
		if err := fromYAML(c.Flags(), "printed", []byte(strings.Join(settings, ""))); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
		want := 0
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !unsettable(f.Name) && f.Name != "config" {
				want++
			}
		})
		if len(settings) != want {
			t.Errorf("%s: %d settings are printed, of %d flags", c.Name(), len(settings), want)
		}
	}
	if roles == 0 {
		t.Error("no command prints its settings")
	}
}
