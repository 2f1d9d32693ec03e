package kubernetes

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/balancer"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/imports"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/status"
	"tombolo.io/tombolo/clustermesh/standing"
)

// Source reads a Kubernetes API. It implements source.Source.
type Source struct {
	config Config
	log    *slog.Logger
	client *client
	status atomic.Pointer[source.Status]
	book   *book
	// refusals are what the API refuses now, by kind.
	refusals map[source.Kind]refusal
	// known are the problems that were logged.
	known map[source.Problem]bool
	// held is what was logged of what is held back.
	held map[source.Kind]bool
	// absent is how many of our kinds the API does not have.
	absent int
	// asked: the store is asked which it is; askAt is when it is asked again.
	asked bool
	askAt time.Time
	notes *notes
	// happened are the events to be, teller writes how our objects stand, imports what
	// all clusters offer together, and balancer which addresses services have.
	happened *events.Writer
	teller   *status.Writer
	imports  *imports.Writer
	balancer *balancer.Writer
}

// retryIdentity is the wait before the store is asked again which it is.
const retryIdentity = time.Second

// New returns a source that asks nothing before Run. Its error says that the
// configuration does not tell which API to read.
func New(c Config, log *slog.Logger) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	config, err := c.rest()
	if err != nil {
		return nil, err
	}
	api, err := newClient(config)
	if err != nil {
		return nil, err
	}
	s := &Source{config: c, log: log, client: api, book: newBook(c.Shrink), refusals: map[source.Kind]refusal{},
		known: map[source.Problem]bool{}, held: map[source.Kind]bool{}}
	s.notes = newNotes(c, api, log)
	s.imports = imports.New(api.dynamic, c.Leads, log)
	s.happened = events.New(api.core, c.Node, log)
	s.teller = status.New(api.dynamic, c.Leads, s.happened.Tell, log)
	s.balancer = balancer.New(api.many, parameters, s.happened.Tell, log)
	s.status.Store(&source.Status{From: "the Kubernetes API at " + api.host})
	return s, nil
}

// Status returns what people should know; it may be called at any time.
func (s *Source) Status() source.Status { return *s.status.Load() }

// Tell has how our objects stand written to their status, while this process
// leads. It implements source.Teller.
func (s *Source) Tell(all []standing.Object) { s.teller.Tell(all) }

// SetClusterSet has what all clusters offer together written, while this process
// leads. It implements source.ClusterSetWriter.
func (s *Source) SetClusterSet(set source.ClusterSet) { s.imports.SetClusterSet(set) }

// StopClusterSet implements source.ClusterSetWriter.
func (s *Source) StopClusterSet() { s.imports.StopClusterSet() }

// SetStatuses has services say which addresses they have. With StopStatuses it
// implements apiserver.StatusWriter.
func (s *Source) SetStatuses(all source.Statuses) { s.balancer.Tell(all) }

// StopStatuses has nothing more written of services.
func (s *Source) StopStatuses() { s.balancer.Stop() }

// Run reads the API and sends updates until ctx ends. It returns nil: an API
// that cannot be read may come back.
func (s *Source) Run(ctx context.Context, out chan<- source.Update) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	heard := make(chan news, 64)
	for _, k := range kinds {
		f := &feed{reader: reader{kind: k}, listWatch: k.api(s.client), out: heard}
		all.Go(func() { f.run(ctx) })
	}
	all.Go(func() { s.notes.run(ctx) })
	all.Go(func() { s.happened.Run(ctx) })
	all.Go(func() { s.teller.Run(ctx) })
	all.Go(func() { s.imports.Run(ctx) })
	all.Go(func() { s.balancer.Run(ctx) })
	s.loop(ctx, heard, out)
	return nil
}

// loop takes in and delivers. What comes while the receiver is busy gathers.
func (s *Source) loop(ctx context.Context, heard <-chan news, out chan<- source.Update) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	answers := make(chan identity, 1)
	var offer source.Update
	var to chan<- source.Update // out, while there is an offer
	for {
		select {
		case <-ctx.Done():
			return
		case to <- offer:
			to = nil
		case n := <-heard:
			s.take(n)
		case i := <-answers:
			s.identified(i)
		case <-timer.C:
		}
		now := time.Now()
		if s.book.unverified() && !s.asked && !now.Before(s.askAt) {
			s.asked = true
			go func() { answers <- s.ask(ctx) }()
		}
		due := s.book.judge(now)
		changed := s.publish(now)
		if to == nil && (changed || s.book.ready()) && s.book.complete() {
			offer, to = s.book.update(), out
		}
		timer.Reset(s.wait(due, now))
	}
}

// wait returns for how long there is nothing to do but to listen.
func (s *Source) wait(due, now time.Time) time.Duration {
	out := time.Hour
	if !due.IsZero() {
		out = min(out, due.Sub(now))
	}
	if s.book.unverified() && !s.asked {
		out = min(out, s.askAt.Sub(now))
	}
	return max(out, time.Millisecond)
}

// take takes in what a reflector tells.
func (s *Source) take(n news) {
	switch {
	case n.put != nil:
		s.book.put(n.kind, n.put)
	case n.gone != nil:
		s.book.gone(n.gone.key(n.kind))
	case n.answer != nil:
		s.heed(kindOf(n.kind), *n.answer)
	default:
		s.book.replace(n.kind, n.list)
	}
	if n.kind == source.Service && n.answer == nil {
		s.balance(n)
	}
}

// balance tells the writer of addresses what services say.
func (s *Source) balance(n news) {
	switch {
	case n.put != nil:
		s.balancer.Saw(n.put.service(), n.put.said)
	case n.gone != nil:
		s.balancer.Saw(n.gone.service(), nil)
	default:
		all := map[clustermesh.ServiceName]*balancer.Said{}
		for _, e := range n.list {
			if e.said != nil {
				all[e.service()] = e.said
			}
		}
		s.balancer.Listed(all)
	}
}

// identity is which store answers, or why that is not known.
type identity struct {
	store string
	err   error
}

// askWithin bounds the question which store answers.
const askWithin = 10 * time.Second

func (s *Source) ask(ctx context.Context) identity {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	store, err := s.client.identity(ctx)
	return identity{store, err}
}

// identified takes in which store answers.
func (s *Source) identified(i identity) {
	if s.asked = false; i.err != nil {
		s.book.silent(refusal{kindOf(source.Namespace), "get", i.err}.String())
	} else {
		s.book.verified(i.store)
	}
	if s.book.unverified() {
		s.askAt = time.Now().Add(retryIdentity)
	}
}
