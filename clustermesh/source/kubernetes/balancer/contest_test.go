package balancer

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// rival is another implementation that writes its own address to a service a moment
// after we wrote ours.
type rival struct {
	*Writer
	*desk
	own  sync.Mutex
	left int // how often it still does so
}

func (r *rival) after(string) {
	time.AfterFunc(100*time.Millisecond, func() {
		r.own.Lock()
		defer r.own.Unlock()
		if r.left == 0 {
			return
		}
		r.left--
		r.Saw(name(0), &Said{UID: "u", Balanced: true, Version: r.next(), Others: true, Writer: "metallb", Owned: true,
			Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.9"}}})
	})
}

// What somebody else makes of a status is mended at once, but not for ever at that pace:
// that two want to write it is told once.
func TestContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := &desk{}, &text{}
		w, happened := open(t, d, log)
		r := &rival{Writer: w, desk: d, left: 1}
		d.after = r.after
		w.Listed(map[clustermesh.ServiceName]*Said{name(0): {UID: "u", Balanced: true, Version: "7"}})
		w.Tell(source.Statuses{Whole: true, Services: map[clustermesh.ServiceName]source.ServiceStatus{name(0): told([]string{"192.0.2.1"}, "True Given: x")}})
		time.Sleep(time.Second)
		if n := d.count(); n != 2 {
			t.Errorf("what was overwritten once is written %d times within a second", n)
		}

		r.own.Lock()
		r.left = -1
		r.own.Unlock()
		w.Saw(name(0), &Said{UID: "u", Balanced: true, Version: d.next(), Owned: true, Others: true, Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.9"}}})
		time.Sleep(time.Hour)
		if n := d.count(); n < 12 || n > 30 {
			t.Errorf("against another who does not stop, %d writes within an hour", n)
		}
		given, told := 0, 0
		for _, e := range happened() {
			switch {
			case e.Reason == "Given":
				given++
			case e.Warning && e.Reason == "Overwritten" && strings.Contains(e.Message, `the field manager "metallb" changes what we write`) && e.Object.Name == "s0":
				told++
			default:
				t.Errorf("it says %+v", e)
			}
		}
		if told != 1 || given != 1 || strings.Count(log.String(), "somebody else writes") != 1 {
			t.Errorf("told %d times, given %d times, log:\n%s", told, given, log)
		}

		r.own.Lock()
		r.left = 0
		r.own.Unlock()
		time.Sleep(maxYield)
		before := d.count()
		time.Sleep(time.Hour)
		if n := d.count(); n != before {
			t.Errorf("it is over, and there are %d more writes", n-before)
		}
		w.Saw(name(0), &Said{UID: "u", Balanced: true, Version: d.next(), Owned: true, Ingress: nil})
		time.Sleep(time.Second)
		if n := d.count(); n != before+1 {
			t.Errorf("much later what is overwritten is not written at once")
		}
		w.Saw(name(0), &Said{UID: "u", Balanced: true, Version: d.next(), Owned: true, Ingress: nil})
		if time.Sleep(2 * yield); d.count() != before+2 {
			t.Errorf("what was long ago still counts")
		}
	})
}

// What the API takes out of a service of another type, and what we are to say anew,
// is no contest.
func TestNoContest(t *testing.T) {
	ingress := func(ip string) []corev1.LoadBalancerIngress { return []corev1.LoadBalancerIngress{{IP: ip}} }
	left := &Said{UID: "u", Balanced: true, Ingress: ingress("192.0.2.1"), Others: true}
	for what, c := range map[string]struct {
		said Said
		want bool
	}{
		"the same":          {Said{UID: "u", Balanced: true, Ingress: ingress("192.0.2.1")}, false},
		"another type":      {Said{UID: "u"}, false},
		"another of a name": {Said{UID: "v", Balanced: true}, false},
		"another class":     {Said{UID: "u", Balanced: true, Judged: source.Judged{Class: "example.com/lb"}}, false},
		"another address":   {Said{UID: "u", Balanced: true, Ingress: ingress("203.0.113.9")}, true},
		"none":              {Said{UID: "u", Balanced: true}, true},
	} {
		if got := undone(left, &c.said); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
