package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemdDir has the units of plain hosts and their settings.
const systemdDir = root + "/deploy/systemd"

// unit is one of systemd's.
type unit struct{ name, text string }

func units(t *testing.T) []unit {
	t.Helper()
	files, err := filepath.Glob(systemdDir + "/*.service")
	if err != nil || len(files) != 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	var out []unit
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, unit{filepath.Base(file), string(raw)})
	}
	return out
}

// args are those of the unit's command, with the settings of this repository.
func (u unit) args(t *testing.T) []string {
	t.Helper()
	for line := range strings.Lines(u.text) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/local/bin/tombolo "); ok {
			dir, err := filepath.Abs(systemdDir)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(strings.NewReplacer("/etc/tombolo/", dir+"/", "%H", "vm-1").Replace(command))
		}
	}
	t.Fatalf("%s starts nothing of ours", u.name)
	return nil
}

// systemd itself finds nothing wrong with the units, and little that they could
// do beside their work.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	dir := t.TempDir()
	binary := tombolo(t)
	exposure := map[string]string{"tombolo-agent.service": "60", "tombolo-speaker.service": "25", "tombolo-apiserver.service": "25"}
	for _, u := range units(t) {
		path := filepath.Join(dir, u.name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(u.text, "/usr/local/bin/tombolo", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), u.name) {
			t.Errorf("%s: %v\n%s", u.name, err, out)
		}
		if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold="+exposure[u.name], path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", u.name, err, out)
		}
	}
}

// The agent's unit has the capabilities that its pod has.
func TestUnitsAreConfinedAsPodsAre(t *testing.T) {
	all := must(t, east)
	for name, kind := range map[string]string{"tombolo-agent": "DaemonSet", "tombolo-speaker": "DaemonSet", "tombolo-apiserver": "StatefulSet"} {
		want := strings.Join(capabilities(find(t, all, kind, name)), " ")
		for _, u := range units(t) {
			if u.name != name+".service" {
				continue
			}
			for line := range strings.Lines(u.text) {
				set, ok := strings.CutPrefix(strings.TrimSpace(line), "CapabilityBoundingSet=")
				if ok && strings.ReplaceAll(set, "CAP_", "") != want {
					t.Errorf("%s has %s, its pod %s", u.name, set, want)
				}
			}
		}
	}
}
