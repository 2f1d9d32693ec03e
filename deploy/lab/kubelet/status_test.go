package kubelet

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	node = Node{Name: "east-1", Zone: "east", BootID: "b1", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")},
		Addresses: []netip.Addr{netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("fd00:20:1::1")}}
	alive = Running{Alive: true, Addresses: []netip.Addr{netip.MustParseAddr("10.1.1.10"), netip.MustParseAddr("fd00:10:1:1::a")}}
	dead  = Running{Addresses: alive.Addresses}
)

func somePod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "demo"},
		Spec: corev1.PodSpec{NodeName: "east-1", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

func ready(s corev1.PodStatus) corev1.ConditionStatus {
	for _, c := range s.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status
		}
	}
	return "missing"
}

func TestReady(t *testing.T) {
	gate := corev1.PodReadinessGate{ConditionType: "example.com/gate"}
	for _, c := range []struct {
		name   string
		change func(*corev1.Pod)
		r      Running
		want   corev1.ConditionStatus
	}{
		{"it lives", func(*corev1.Pod) {}, alive, corev1.ConditionTrue},
		{"its process ended", func(*corev1.Pod) {}, dead, corev1.ConditionFalse},
		{"it is switched off", func(p *corev1.Pod) { p.Annotations = map[string]string{NotReady: ""} }, alive, corev1.ConditionFalse},
		{"its gate is shut", func(p *corev1.Pod) { p.Spec.ReadinessGates = append(p.Spec.ReadinessGates, gate) }, alive, corev1.ConditionFalse},
		{"its gate is open", func(p *corev1.Pod) {
			p.Spec.ReadinessGates = append(p.Spec.ReadinessGates, gate)
			p.Status.Conditions = []corev1.PodCondition{{Type: gate.ConditionType, Status: corev1.ConditionTrue}}
		}, alive, corev1.ConditionTrue},
	} {
		pod := somePod()
		c.change(pod)
		s := podStatus(pod, node, c.r, metav1.Now())
		if got := ready(s); got != c.want {
			t.Errorf("%s: ready is %s", c.name, got)
		}
		if s.Phase != corev1.PodRunning || s.HostIP != "172.20.1.1" || s.PodIP != "10.1.1.10" || s.PodIPs[1].IP != "fd00:10:1:1::a" {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// What is as it was is not written again, and what changed says since when.
func TestStatusIsStable(t *testing.T) {
	pod := somePod()
	first, later := metav1.Now(), metav1.NewTime(time.Now().Add(time.Minute))
	pod.Status = podStatus(pod, node, alive, first)
	if again := podStatus(pod, node, alive, later); !equality.Semantic.DeepEqual(again, pod.Status) {
		t.Errorf("the same again is %+v", again)
	}
	for _, c := range podStatus(pod, node, dead, later).Conditions {
		turned := c.Type == corev1.PodReady || c.Type == corev1.ContainersReady
		if since := c.LastTransitionTime; turned != since.Equal(&later) {
			t.Errorf("%s is %s since %v", c.Type, c.Status, since)
		}
	}
}

func TestEndAt(t *testing.T) {
	deleted := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ grace, sleep, want int64 }{
		{30, 0, 0}, {30, 5, 5}, {3, 5, 3}, {0, 5, 0},
	} {
		pod := somePod()
		pod.DeletionGracePeriodSeconds = &c.grace
		pod.DeletionTimestamp = &metav1.Time{Time: deleted.Add(time.Duration(c.grace) * time.Second)} // when the grace ends
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: c.sleep}}}
		if got := endAt(pod).Sub(deleted); got != time.Duration(c.want)*time.Second {
			t.Errorf("a grace of %d s and a sleep of %d s: it ends after %v", c.grace, c.sleep, got)
		}
	}
}

func TestNodeReady(t *testing.T) {
	before, now := metav1.NewTime(time.Now().Add(-time.Hour)), metav1.Now()
	other := corev1.NodeCondition{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionUnknown}
	for _, c := range []struct {
		was   corev1.ConditionStatus
		since metav1.Time
	}{{corev1.ConditionTrue, before}, {corev1.ConditionUnknown, now}} {
		all := nodeReady([]corev1.NodeCondition{{Type: corev1.NodeReady, Status: c.was, LastTransitionTime: before}, other}, now)
		if len(all) != 2 || all[0] != other || all[1].Status != corev1.ConditionTrue || !all[1].LastTransitionTime.Equal(&c.since) {
			t.Errorf("one that was %s: %+v", c.was, all)
		}
	}
}
