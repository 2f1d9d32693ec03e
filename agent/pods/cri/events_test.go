package cri

import (
	"slices"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tombolo.io/tombolo/agent/pods"
)

// TestEvents holds who is listened to, and that a change is seen by an event long
// before the next pass that would come without.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, version string
		listens       bool
	}{
		{"containerd", "v2.0.0", true},
		{"containerd", "1.7.27", false}, // each event goes to one listener: the kubelet
		{"cri-o", "1.28.0", true},
		{"cri-o", "1.27.9", false},
		{"other", "9.9.9", false},
		{"containerd", "odd", false},
	} {
		t.Run(c.name+" "+c.version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.name, w.version = c.name, c.version
			w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
			w.follow()
			w.is("10.1.0.1", "a", pods.Lives)
			w.passes(2)
			listened := func() (n int) { w.with(func() { n = w.listened }); return n }
			if c.listens {
				w.until("it is listened to", func() bool { return listened() > 0 })
			} else if n := listened(); n > 0 {
				t.Fatalf("listened %d times", n)
			}
			how := "asked every"
			if c.listens {
				how = "by its events"
			}
			w.until(how, func() bool { return strings.Contains(w.node.Snapshot().From, how) })
			w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2"))
			w.is("10.1.0.2", "b", pods.Lives)
		})
	}
}

// TestEventsOutOfOrder holds that events whose order is another than that of what
// happened, and such of what never was, lead to what is.
func TestEventsOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.follow()
	w.is("10.1.0.1", "a", pods.Lives)
	w.until("it listens", func() bool { return strings.Contains(w.node.Snapshot().From, "events") })
	w.with(func() { // without a word
		w.sandboxes = slices.Delete(w.sandboxes, 0, 1)
		w.sandboxes = append(w.sandboxes, sandboxOf("s2", "b", "echo-2", "10.1.0.1"))
	})
	w.tell(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, "s2")
	w.tell(runtime.ContainerEventType_CONTAINER_STARTED_EVENT, "s1")
	w.tell(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, "never")
	w.is("10.1.0.1", "a", pods.Reused)
	w.is("10.1.0.1", "b", pods.Lives)
}

// TestMuteRuntime holds that a runtime that ends the stream of events at once, as
// CRI-O does unless it is told to have them, is asked instead, and not pestered.
func TestMuteRuntime(t *testing.T) {
	w := newWorld(t)
	w.mute = true
	w.fake.run(sandboxOf("s1", "a", "echo-1", "10.1.0.1"))
	w.follow()
	w.is("10.1.0.1", "a", pods.Lives)
	w.passes(3)
	w.until("it is asked", func() bool { return strings.Contains(w.node.Snapshot().From, "asked every") })
	w.fake.run(sandboxOf("s2", "b", "echo-2", "10.1.0.2"))
	w.is("10.1.0.2", "b", pods.Lives)
	var listened int
	if w.with(func() { listened = w.listened }); listened != 1 {
		t.Errorf("listened %d times", listened)
	}
}
