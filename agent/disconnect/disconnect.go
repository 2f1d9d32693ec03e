package disconnect

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/bpf"
)

// Config is what a Disconnector needs to know.
type Config struct {
	// Proc is where procfs is mounted, with the processes of all network
	// namespaces of the node.
	Proc string
}

// When the maps are looked at again: soon after something went down, for clients
// that were just being led there, and each second in any case, for what failed and
// for those whose service is served by another only now.
var soon = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond}

const (
	always = time.Second
	// rest is how many times as long as a look took there is none after it: to read
	// 100,000 sockets that found no place in the maps takes a good part of a second.
	rest = 20
	// sweepEvery is how often places are freed whose sockets are gone.
	sweepEvery = 5 * time.Minute
)

// Disconnector ends connections to backends that died.
type Disconnector struct {
	config   Config
	datapath *bpf.Datapath
	log      *slog.Logger
	wake     chan struct{}
	ended    atomic.Uint64
	failed   atomic.Pointer[string]
	// absent are the sockets that the last sweep did not find.
	absent map[uint64]bool
}

// New returns a Disconnector that does nothing before Run.
func New(c Config, d *bpf.Datapath, log *slog.Logger) *Disconnector {
	return &Disconnector{config: c, datapath: d, log: log, wake: make(chan struct{}, 1), absent: map[uint64]bool{}}
}

// Wake says that something is down. It does not wait.
func (d *Disconnector) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Status is what a Disconnector did.
type Status struct {
	// Ended counts the connections that were ended since the agent started.
	Ended uint64 `json:"ended"`
	// Problem says why connections that should be are not, empty when they are.
	Problem string `json:"problem,omitempty"`
}

// Status returns it. Any goroutine may ask.
func (d *Disconnector) Status() Status {
	s := Status{Ended: d.ended.Load()}
	if p := d.failed.Load(); p != nil {
		s.Problem = *p
	}
	return s
}

// Run ends connections until ctx is done. What was left by the process before is
// found first.
func (d *Disconnector) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next, swept := len(soon), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
			next = 0
		case <-timer.C:
		}
		began := time.Now()
		err := d.cut()
		wait := max(always, rest*time.Since(began))
		if now := time.Now(); now.Sub(swept) >= sweepEvery {
			swept = now
			err = errors.Join(err, d.sweep())
		}
		d.note(err)
		if next < len(soon) {
			wait = soon[next]
			next++
		}
		timer.Reset(wait)
	}
}

// note keeps the outcome of a look for the status, and logs a new one.
func (d *Disconnector) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if old := d.failed.Swap(&text); text != "" && (old == nil || *old != text) {
		d.log.Warn("connections to dead backends cannot be ended", "error", err)
	}
}

// cut ends the connections that are doomed now.
func (d *Disconnector) cut() error {
	sockets, unread := doomed(d.datapath)
	if len(sockets) == 0 {
		return unread
	}
	cookies, byNetns := map[uint64]bpf.Socket{}, map[uint64]bool{}
	for _, s := range sockets {
		cookies[s.Cookie], byNetns[s.Netns] = s, true
	}
	var ended int
	errs := []error{unread}
	err := d.each(byNetns, func(diag *diag, all []found) {
		for _, f := range all {
			if _, ok := cookies[f.cookie()]; !ok || !f.endable() {
				continue
			}
			done, err := diag.destroy(f)
			if errs = append(errs, err); done {
				d.datapath.Sockets.Forget(f.cookie()) // its owner may keep it open
				ended++
			}
		}
	})
	if d.ended.Add(uint64(ended)); ended > 0 {
		d.log.Info("ended connections whose backend is down, gone, or had its time to drain", "connections", ended, "such as", sockets[0].Frontend, "backend", sockets[0].Backend)
	}
	return errors.Join(append(errs, err)...)
}

// each calls do for each of some namespaces with the connections in it.
func (d *Disconnector) each(cookies map[uint64]bool, do func(*diag, []found)) error {
	diags, err := enterAll(d.config.Proc, cookies)
	errs := []error{err}
	for _, diag := range diags {
		all, err := diag.sockets()
		if errs = append(errs, err); err == nil {
			do(diag, all)
		}
		diag.close()
	}
	return errors.Join(errs...)
}

// sweep frees the places of sockets that it did not find twice in a row. One that
// is being connected is not found either, but not for minutes.
func (d *Disconnector) sweep() error {
	absent, byNetns := map[uint64]bool{}, map[uint64]bool{}
	for s := range d.datapath.Sockets.Placed() {
		absent[s.Cookie], byNetns[s.Netns] = true, true
	}
	if len(absent) == 0 {
		return nil
	}
	if err := d.each(byNetns, func(_ *diag, all []found) {
		for _, f := range all {
			delete(absent, f.cookie())
		}
	}); err != nil {
		return err
	}
	for cookie := range absent {
		if d.absent[cookie] {
			d.datapath.Sockets.Forget(cookie)
		}
	}
	d.absent = absent
	return nil
}
