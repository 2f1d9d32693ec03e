package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// widest is how many columns help may take.
const widest = 100

// Every command says more of itself than its one line, and one that takes arguments
// shows some; no line is wider than a terminal.
func TestHelpTeaches(t *testing.T) {
	commands := 0
	check := func(path string, c *cobra.Command) {
		commands++
		text := []string{c.Long}
		if !strings.HasPrefix(path, "completion") { // cobra's own
			if strings.TrimSpace(c.Long) == "" {
				t.Errorf("tombolo %s has one line of help", path)
			}
			if strings.Contains(c.Use, " ") && c.Example == "" {
				t.Errorf("tombolo %s takes %q and shows no example", path, c.Use)
			}
			text = append(text, c.UsageString())
		}
		for line := range strings.Lines(strings.Join(text, "\n")) {
			line = strings.TrimRight(line, "\n")
			if n := len([]rune(line)); n > widest && !isSummary(c, line) {
				t.Errorf("tombolo %s: %d columns: %s", path, n, line)
			}
		}
	}
	root := newRoot()
	check("", root)
	visible(root, check)
	if commands < 50 {
		t.Errorf("%d commands were looked at", commands)
	}
	for _, path := range []string{"agent", "apiserver", "speaker", "lab up", "lab apply"} {
		if c, _, err := root.Find(strings.Fields(path)); err != nil || c.Example == "" {
			t.Errorf("tombolo %s shows no example (%v)", path, err)
		}
	}
}

// isSummary says whether a line of a command's help is that of one of its own commands,
// which has that one's short text whole.
func isSummary(c *cobra.Command, line string) bool {
	for _, sub := range c.Commands() {
		if strings.HasSuffix(line, " "+sub.Short) {
			return true
		}
	}
	return false
}

func TestRestoreShowsNoFlagsThatItIgnores(t *testing.T) {
	t.Setenv("TOMBOLO_ETCD_ENDPOINTS", "http://127.0.0.1:1")
	out, err := run(t, "store", "restore", "--help")
	if err != nil || strings.Contains(out, "--etcd-endpoints") || strings.Contains(out, "--tls-ca") || !strings.Contains(out, "--data-dir") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = run(t, "store", "ls", "--help")
	if err != nil || !strings.Contains(out, "--etcd-endpoints") {
		t.Errorf("%v:\n%s", err, out)
	}
}
