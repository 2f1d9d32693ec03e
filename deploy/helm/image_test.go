package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nobody is the user of the image and of the API server's pods.
const nobody = 65532

// The image is the binary alone: it runs as nobody in a root directory where
// there is nothing else.
func TestImage(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	final := lines[slices.Index(lines, "FROM scratch"):]
	for _, want := range []string{"COPY --from=build /tombolo /tombolo", "USER 65532:65532", `ENTRYPOINT ["/tombolo"]`} {
		if !slices.Contains(final, want) {
			t.Errorf("the image lacks %s", want)
		}
	}
	if os.Getuid() != 0 {
		t.Fatal("this needs root, for chroot")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(tombolo(t), filepath.Join(dir, "tombolo")); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("/tombolo", "apiserver", "--print-config")
	run.Dir, run.Env = "/", []string{}
	run.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "etcd-members") {
		t.Errorf("in an empty root, as nobody: %v\n%s", err, out)
	}
}
