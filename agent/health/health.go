package health

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// Mode is what becomes of verdicts.
type Mode string

// The modes: verdicts move connections, are only shown, or are not made.
const (
	On      Mode = "on"
	Observe Mode = "observe"
	Off     Mode = "off"
)

// Config says for which node to judge, and how.
type Config struct {
	// Node is the name of this node, RunDir where it keeps what it must know when
	// it comes back.
	Node, RunDir string
	Mode         Mode
	Knobs        Knobs
	// Port is the port of probes in the whole mesh.
	Port uint16
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	if !slices.Contains([]Mode{On, Observe, Off}, c.Mode) {
		return fmt.Errorf("--failover %q: want on, observe or off", c.Mode)
	}
	return c.Knobs.Validate()
}

// Prober sends probes and takes replies in; probe.Prober is one.
type Prober interface {
	Send(probe.Target) (nonce uint64, err error)
	Drain() (probe.Batch, error)
	Readable() <-chan struct{}
	Watch(context.Context) error
	Close() error
}

// Pool gossips within the own cluster; gossip.Pool is one.
type Pool interface {
	// Broadcast lets all others have a payload soon, Send one of them. They never
	// block, and what cannot be sent is lost.
	Broadcast(payload []byte)
	Send(to string, payload []byte)
	Received() <-chan Message
	// Members are those who hear each other, this node among them, each time that
	// they change.
	Members() <-chan []string
}

// Balancer is told what is down, and after a start without the store where whose
// backends are; loadbalancer.LoadBalancer is one.
type Balancer interface {
	Judge(context.Context, loadbalancer.Verdict) error
	SetPlaces(ctx context.Context, all []loadbalancer.Place) error
}

// Deps are what a Health works with. Pool may be nil: then this node watches all
// others itself.
type Deps struct {
	Open     func(probe.Config) (Prober, error)
	Balancer Balancer
	Pool     Pool
	// Uses returns the nodes on which the services here have backends, by the ids of
	// their clusters; nil is nobody.
	Uses func() map[uint16][]string
	// Sighted is called for each node that lives another life than before; it must
	// not block, and may be nil.
	Sighted func(Sighting)
	Log     *slog.Logger
}

// Health runs a Machine.
type Health struct {
	config   Config
	deps     Deps
	snapshot atomic.Pointer[Snapshot]
	hands    chan hand
	surveys  chan *inquiry
	news     chan Event
	heard    chan func(*Machine)
	// files are to be written.
	files chan files

	// What follows is owned by Run.

	view *view.View
	// survey is what is known of the mesh, and mesh the same for the machine; old is
	// what of it was known from a process before and the store has not listed yet.
	survey, old survey
	mesh        mesh
	// kept is the survey on disk, written at keptAt; unkept: there is a newer one.
	kept    survey
	keptAt  time.Time
	unkept  bool
	machine *Machine
	probes  *probes
	events  ring
	wake    time.Time
	// usedAt is when it was asked which nodes services use.
	usedAt time.Time
	// told are verdicts for the balancer, the oldest first.
	told      []order
	ordered   map[Name]ordered
	overrides []Override
	// owed are those of whom the balancer was not told everything: see known; caughtUp
	// is when that was last looked at.
	owed     map[Name]struct{}
	caughtUp time.Time
	// members are those of the pool; inquiries are ours, by number, and answers
	// those that we owe.
	members   []string
	inquiries map[uint64]*inquiry
	answers   []answer
	// saveBy is when the records on disk are too old; zero while they are as they
	// should be. saved is when they were last written.
	saveBy   time.Time
	saved    time.Time
	shown    time.Time
	wasBlind clustermesh.Families
	problem  error
}

// settling is how long a node that is new may need to answer for the first time.
const settling = 10 * time.Second

// saveEvery and showEvery bound how often what changes all the time is written;
// saveDown how often what an agent that is killed must not forget is.
const (
	saveEvery = time.Second
	saveDown  = 20 * time.Millisecond
	showEvery = 500 * time.Millisecond
)

// New returns a Health that does nothing before Run.
func New(c Config, d Deps) *Health {
	h := &Health{
		config: c, deps: d,
		hands: make(chan hand), surveys: make(chan *inquiry), news: make(chan Event, maxNews), heard: make(chan func(*Machine)), files: make(chan files, 1),
		inquiries: map[uint64]*inquiry{}, view: view.New(c.Node), ordered: map[Name]ordered{}, owed: map[Name]struct{}{},
	}
	h.snapshot.Store(&Snapshot{Mode: c.Mode, Verdicts: []Verdict{}})
	return h
}

// Run judges until ctx ends. In mode Off it only takes batches.
func (h *Health) Run(ctx context.Context, batches <-chan view.Batch) error {
	if h.config.Mode == Off {
		h.snapshot.Store(&Snapshot{Mode: Off, Verdicts: []Verdict{}})
		for {
			select {
			case <-batches:
			case <-h.heard:
			case <-ctx.Done():
				return nil
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	orders := make(chan order)
	var shells sync.WaitGroup
	shells.Go(func() { h.deliver(ctx, orders) })
	shells.Go(func() { h.writeFiles(ctx, h.path) })
	defer func() { cancel(); shells.Wait(); h.probes.close() }()
	h.load()
	h.recollect(ctx)
	var received <-chan Message
	var members <-chan []string
	if h.deps.Pool != nil {
		received, members = h.deps.Pool.Received(), h.deps.Pool.Members()
	}
	timer := time.NewTimer(0) // what is remembered is looked at without waiting for the store
	defer timer.Stop()
	for {
		var heard []Message
		var next order
		var out chan<- order
		if len(h.told) > 0 {
			next, out = h.told[0], orders
		}
		select {
		case <-ctx.Done():
			shells.Wait() // who writes files, too
			return h.save()
		case b := <-batches:
			h.take(ctx, b)
		case m := <-received:
			if !h.inform(m, time.Now()) {
				heard = append(heard, m)
			}
		case h.members = <-members:
			if h.machine != nil {
				h.machine.SetMembers(h.members)
			}
		case do := <-h.heard:
			if h.machine != nil {
				do(h.machine)
			}
		case s := <-h.surveys:
			h.begin(s, time.Now())
		case <-h.probes.readable():
		case <-timer.C:
		case x := <-h.hands:
			x.done <- h.byHand(x.Override)
		case e := <-h.news:
			h.tell(e)
			h.shown = time.Time{}
		case out <- next:
			h.told = h.told[1:]
			continue
		}
		h.step(heard)
		if next := h.answer(time.Now()); next.Before(h.wake) {
			h.wake = next
		}
		timer.Reset(time.Until(h.wake))
	}
}

// step lets the machine judge what happened until now.
func (h *Health) step(heard []Message) {
	if h.wake = time.Now().Add(time.Second); h.machine == nil || h.probes == nil {
		h.show(time.Now())
		return
	}
	in, err := h.probes.drain()
	if err != nil && h.problem == nil {
		h.deps.Log.Error("replies to probes cannot be read", "error", err)
	}
	h.problem = err
	h.use(in.Now)
	in.Gossip, in.Void = heard, err != nil
	out := h.machine.Step(in)
	h.probes.send(out.Probes)
	for _, payload := range out.Gossip {
		if h.deps.Pool != nil {
			h.deps.Pool.Broadcast(payload)
		}
	}
	for _, s := range out.Sightings {
		if h.deps.Sighted != nil {
			h.deps.Sighted(s)
		}
	}
	for _, c := range out.Changes {
		h.changed(c, in.Now)
	}
	if out.Learned {
		h.saveWithin(saveEvery)
	}
	h.look(in.Now)
	h.keep(in.Now)
	h.catchUp(in.Now)
	if !h.saveBy.IsZero() && !in.Now.Before(h.saveBy) {
		h.saveBy, h.saved = time.Time{}, in.Now
		h.saveSoon()
	}
	if len(out.Changes) > 0 || in.Now.Sub(h.shown) >= showEvery {
		h.show(in.Now)
	}
	h.wake = out.Wake
	if !h.saveBy.IsZero() && h.saveBy.Before(h.wake) {
		h.wake = h.saveBy
	}
}

// useEvery is how often it is looked which nodes services use.
const useEvery = time.Second

// use tells the machine which nodes of other clusters services use.
func (h *Health) use(now time.Time) {
	if h.deps.Uses == nil || now.Sub(h.usedAt) < useEvery {
		return
	}
	h.usedAt = now
	all, used := h.deps.Uses(), map[Name]struct{}{}
	for cluster, id := range h.mesh.ids {
		if cluster == h.mesh.self.Cluster {
			continue
		}
		for _, node := range all[id] {
			used[Name{cluster, node}] = struct{}{}
		}
	}
	h.machine.SetUsed(used)
}

// changed hands a verdict on, and writes it down if it is news.
func (h *Health) changed(c Change, now time.Time) {
	who := Name{c.Cluster, c.Node}
	if c.State == "" {
		h.part(who)
	} else {
		h.order(c.Verdict)
	}
	if c.AddressDown|c.PodsDown|c.WasIn != 0 {
		h.saveWithin(saveDown)
	} else {
		h.saveWithin(saveEvery)
	}
	quiet := func(s clustermesh.VerdictState) bool {
		return s == clustermesh.VerdictUp || s == clustermesh.VerdictSuspect || s == ""
	}
	if quiet(c.State) && quiet(c.Was) || c.State == c.Was && c.AddressDown|c.PodsDown == c.WasIn && !c.Override {
		return // a suspicion that came to nothing; one kind of a family is back, and not all
	}
	to := string(c.State)
	if to == "" {
		to = "gone"
	}
	if c.Was == "" && c.State == clustermesh.VerdictUnmonitored || c.Was == clustermesh.VerdictUnmonitored && c.Lasted < settling {
		return // it had not had the time to answer
	}
	h.tell(Event{Time: now, What: who.String(), From: string(c.Was), To: to, Reason: c.Reason, Evidence: c.Evidence, Observed: h.config.Mode == Observe})
}

// tell writes an event down.
func (h *Health) tell(e Event) {
	h.events.add(e)
	log := h.deps.Log.Info
	if e.To == string(clustermesh.VerdictDown) || e.To == Blind {
		log = h.deps.Log.Warn
	}
	log("verdict", "what", e.What, "from", e.From, "to", e.To, "reason", e.Reason, "observed", e.Observed)
}

// Blind is the state of an agent that hears nobody; Sighted that of one that does again.
const (
	Blind   = "blind"
	Sighted = "sighted"
)

// look tells when this node goes blind, and when it sees again.
func (h *Health) look(now time.Time) {
	_, blind := h.machine.Blind()
	if blind == h.wasBlind {
		return
	}
	e := Event{Time: now, What: "this node", From: Blind, To: Sighted, Reason: "it hears others again and judges"}
	if h.wasBlind == 0 {
		e.From = Sighted
	}
	if blind != 0 {
		by := h.machine.by(blind)
		e.To, e.Reason = Blind, "it hears"+by+" no other cluster and not even most of its own: it is cut off itself, and its verdicts"+by+" stay as they are"
	}
	h.wasBlind = blind
	h.tell(e)
}
