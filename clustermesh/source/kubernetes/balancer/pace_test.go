package balancer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// Services that the API refuses keep no others waiting, and are asked about seldom until
// it takes them.
func TestRefusedAreNotWaitedFor(t *testing.T) {
	const bad, all = 50, 250
	for what, refusal := range map[string]*apierrors.StatusError{
		"403": apierrors.NewForbidden(corev1.Resource("services/status"), "s", fmt.Errorf("no")),
		"422": apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), "s", nil),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, log := &desk{refused: refusal, some: map[string]bool{}}, &text{}
				w, happened := open(t, d, log)
				tell := func(from, to int) {
					s := source.Statuses{Services: map[clustermesh.ServiceName]source.ServiceStatus{}}
					s.Whole = from == 0
					for i := from; i < to; i++ {
						w.Saw(name(i), &Said{UID: "u", Balanced: true, Version: "7"})
						s.Services[name(i)] = told([]string{"192.0.2.1"}, "True Given: x")
					}
					w.Tell(s)
				}
				for i := range bad {
					d.some[name(i).Name] = true
				}
				tell(0, bad)
				tell(bad, all)
				time.Sleep(5 * time.Second)
				if n := len(happened()); n != all-bad {
					t.Errorf("%d of %d services are written", n, all-bad)
				}
				time.Sleep(time.Hour)
				if n := d.count(); n > all+2*int(time.Hour/pause) {
					t.Errorf("%d writes within an hour", n)
				}
				tell(all, all+1)
				time.Sleep(time.Second)
				if n := len(happened()); n != all-bad+1 {
					t.Errorf("a new one is not written within a second")
				}
				d.mu.Lock()
				delete(d.some, name(0).Name)
				d.mu.Unlock()
				w.Saw(name(0), &Said{UID: "u", Balanced: true, Version: "8"})
				time.Sleep(time.Second)
				if n := len(happened()); n != all-bad+2 {
					t.Errorf("one that changed is not written within a second")
				}
				d.refuse(nil)
				time.Sleep(10 * time.Second)
				if n := len(happened()); n != all+1 {
					t.Errorf("the API takes all, and %d of %d are written", n, all+1)
				}
				if n := strings.Count(log.String(), "\n"); n > enough+1 || !strings.Contains(log.String(), "all of them again") {
					t.Errorf("the log has %d lines:\n%s", n, log)
				}
			})
		})
	}
}

// An API that does not answer is asked once a pause, whatever waits.
func TestSilentAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := &desk{refused: apierrors.NewServiceUnavailable("later")}, &text{}
		w, happened := open(t, d, log)
		all := source.Statuses{Whole: true, Services: map[clustermesh.ServiceName]source.ServiceStatus{}}
		for i := range 100 {
			w.Saw(name(i), &Said{UID: "u", Balanced: true, Version: "7"})
			all.Services[name(i)] = told([]string{"192.0.2.1"}, "True Given: x")
		}
		w.Tell(all)
		time.Sleep(10 * time.Minute)
		if n := d.count(); n > atOnce+int(10*time.Minute/pause)+enough {
			t.Errorf("%d writes within ten minutes", n)
		}
		d.refuse(nil)
		time.Sleep(time.Minute + pause)
		if n := len(happened()); n != 100 {
			t.Errorf("%d are written when it answers", n)
		}
		if n := strings.Count(log.String(), "does not answer"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, log)
		}
	})
}
