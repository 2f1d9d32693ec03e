package bpftest

import (
	"os"
	"testing"
	"time"
)

// A bpffs of which a file is open for a moment longer is unmounted when it is not.
func TestUnmountWaits(t *testing.T) {
	f, err := os.Open(MountBPFFS(t))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { f.Close() })
}
