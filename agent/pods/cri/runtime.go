package cri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tombolo.io/tombolo/agent/pods"
)

// Sockets are where container runtimes have theirs: the distributions of Kubernetes
// that bring their own first, for a machine with one of them may have another
// containerd besides, for other purposes.
var Sockets = []string{
	"/run/k3s/containerd/containerd.sock",
	"/run/k0s/containerd.sock",
	"/var/snap/microk8s/common/run/containerd.sock",
	"/run/crio/crio.sock",
	"/run/containerd/containerd.sock",
	"/run/cri-dockerd.sock",
}

// Runtime is the source of pods that asks a container runtime.
type Runtime struct {
	// Sockets are where it may be; of several the first one counts that has pods.
	Sockets []string
	// Cgroup is the mount of cgroup2, below which are the pods' cgroups; empty does
	// without the kernel's word.
	Cgroup string
	// Host returns the addresses of the node.
	Host func() ([]netip.Addr, error)
}

const (
	// poll is how often a runtime is asked of which no events are heard, and relist
	// one of which they are, for one may be lost.
	poll   = 500 * time.Millisecond
	relist = 5 * time.Second
	// retry is when a runtime is asked again that did not answer.
	retry = time.Second
	// settle gathers the events of one change.
	settle = 20 * time.Millisecond
	// hearing is how long a runtime must have let us listen before it is relied upon,
	// deaf when one is listened to again that did not.
	hearing = 2 * time.Second
	deaf    = time.Minute
)

// Present reports whether one of the sockets is there.
func (r Runtime) Present() bool {
	for _, s := range r.Sockets {
		if info, err := os.Stat(s); err == nil && info.Mode().Type() == os.ModeSocket {
			return true
		}
	}
	return false
}

// String names it.
func (r Runtime) String() string { return "a container runtime at " + strings.Join(r.Sockets, ", ") }

// Follow asks the runtime until ctx ends.
func (r Runtime) Follow(ctx context.Context, known map[string]pods.Pod, tell func(pods.Finding)) {
	f := &follower{Runtime: r, ledger: newLedger(known, func(cgroup string) presence { return look(r.Cgroup, cgroup) }, time.Now())}
	defer func() {
		f.ear.close()
		f.session.close()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for soon := false; ; {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-f.ear.channel():
			if !ok {
				f.deafened(time.Now())
			}
			if !soon {
				soon = true
				timer.Reset(settle)
			}
			continue
		case <-timer.C:
		}
		soon = false
		err := f.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		f.hear(ctx, err, time.Now())
		tell(f.finding(err, time.Now()))
		timer.Reset(f.next(err, time.Now()))
	}
}

// follower is one run of Follow, by one goroutine.
type follower struct {
	Runtime
	*ledger
	// session is nil before a runtime was found that answers.
	session *session
	// settled: it had pods, so that no other runtime is looked for.
	settled bool
	// listed: the last pass had a list.
	listed bool
	ear    *ear
	// mute is until when the runtime is not listened to.
	mute time.Time
}

// pass lists the pods, and asks about those that are new.
func (f *follower) pass(ctx context.Context) error {
	list, err := f.list(ctx)
	if f.listed = err == nil; !f.listed {
		return err
	}
	now := time.Now()
	f.take(list, now)
	if !f.known {
		return fmt.Errorf("the container runtime at %s has no pods, and it is not known which run here until it has one: "+
			"if it is not the kubelet's, name that with --pods unix://PATH", f.session.socket)
	}
	for _, id := range f.due(now) {
		s, failed := f.session.ask(ctx, id)
		switch status.Code(failed) {
		case codes.OK:
			f.answered(id, s, time.Now())
			continue
		case codes.NotFound: // it went since it was listed
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			return failed // the others are asked about in the next pass
		default:
			err = failed
		}
		f.failed(id, time.Now())
	}
	return err
}

// list asks the runtime, or looks for one until one has pods.
func (f *follower) list(ctx context.Context) ([]*sandbox, error) {
	if f.settled {
		return f.session.list(ctx)
	}
	var errs []error
	var answers *session
	for _, path := range f.Sockets {
		if _, err := os.Stat(path); err != nil && len(f.Sockets) > 1 {
			continue
		}
		s, list, err := first(ctx, path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case len(list) > 0:
			answers.close()
			f.session.close()
			f.session, f.settled = s, true
			return list, nil
		case answers == nil:
			answers = s
		default:
			s.close()
		}
	}
	f.session.close()
	if f.session = answers; answers != nil {
		return nil, nil
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("there is no socket of a container runtime: looked for %s", strings.Join(f.Sockets, ", "))
	}
	return nil, errors.Join(errs...)
}

// first opens a session and lists.
func first(ctx context.Context, socket string) (*session, []*sandbox, error) {
	s, err := open(socket)
	if err != nil {
		return nil, nil, err
	}
	if err = s.identify(ctx); err == nil {
		var list []*sandbox
		if list, err = s.list(ctx); err == nil {
			return s, list, nil
		}
	}
	s.close()
	return nil, nil, err
}

// hear listens to a runtime that answered, where it tells events to all. One that
// restarted is asked anew who it is.
func (f *follower) hear(ctx context.Context, err error, now time.Time) {
	if err != nil || !f.settled || f.ear != nil || now.Before(f.mute) || f.session.identify(ctx) != nil {
		return
	}
	if f.session.tellsAll() {
		f.ear = f.session.listen(ctx, now)
		return
	}
	f.mute = now.Add(deaf)
}

// deafened notes that no more events come. A runtime that lets us listen and ends it
// at once is not asked for it again before a while.
func (f *follower) deafened(now time.Time) {
	if now.Sub(f.ear.since) < hearing {
		f.mute = now.Add(deaf)
	}
	f.ear = nil
}

// hears says whether events can be relied upon.
func (f *follower) hears(now time.Time) bool {
	return f.ear != nil && now.Sub(f.ear.since) >= hearing
}

// next is how long to wait until the next pass.
func (f *follower) next(err error, now time.Time) time.Duration {
	switch {
	case err != nil:
		return retry
	case f.hears(now) && f.quiet():
		return relist
	}
	return poll
}

// finding is what is known after a pass. As long as no runtime had pods, the kubelet's
// may be another than those that answered.
func (f *follower) finding(err error, now time.Time) pods.Finding {
	out := pods.Finding{Pods: f.pods(), Silent: !f.listed || !f.settled, Ended: f.ended, Problems: f.problems(now)}
	out.Doubted, _ = f.doubted()
	if f.settled {
		how := "every " + poll.String()
		if f.ear != nil {
			how = "by its events"
		}
		out.From = fmt.Sprintf("%s %s at %s, asked %s", f.session.name, f.session.version, f.session.socket, how)
	}
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		if f.known {
			text += "; what was known goes on"
		}
		out.Problems = append([]string{text}, out.Problems...)
	}
	host, err := f.Host()
	if err != nil {
		out.Problems = append(out.Problems, fmt.Sprintf("the node's own addresses are not known: %v", err))
	}
	out.Host = map[netip.Addr]struct{}{}
	for _, a := range host {
		out.Host[a] = struct{}{}
	}
	return out
}

// HostAddresses returns the addresses of the devices in this network namespace,
// without those that no pod can be reached at.
func HostAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("listing the node's addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if addr := p.Addr().Unmap(); err == nil && pods.ValidAddress(addr) && !addr.IsLinkLocalUnicast() {
			out = append(out, addr)
		}
	}
	return out, nil
}
