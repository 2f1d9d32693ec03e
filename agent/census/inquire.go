package census

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/health"
)

// inquire asks whom there is to ask.
func (c *Census) inquire(ctx context.Context) {
	who := c.desk.next(time.Now())
	// Before the store has told what is used here, or it is remembered, that nothing of
	// a node is would be a guess, and confirm what nobody knows. Of what the maps lead
	// to nobody knows the pods' uids.
	named := c.deps.Balanced().Synced
	switch {
	case named && c.recalled:
		c.recalled = false
		for name := range c.desk.clusters { // also whom the maps could not tell from others
			if len(c.desk.withdrawn(name)) > 0 {
				c.withdraw(ctx, name)
			}
		}
	case !named && !c.recalled && len(who) > 0 && time.Since(c.began) > settling:
		c.fault("unnamed", errUnnamed)
	}
	if named || c.recalled {
		c.fault("unnamed", nil)
	}
	if len(who) == 0 || !named && !c.recalled {
		return
	}
	if named {
		c.index()
	}
	for _, w := range who {
		if _, named := c.addresses[w]; !named && w != c.own {
			continue // the store has not named it yet
		}
		pairs := c.pairs[w]
		if len(pairs) == 0 { // nothing of it is used here
			n := c.desk.node(w)
			c.settle(ctx, result{who: w, answer: Answer{Life: n.life}})
			continue
		}
		if w == c.own {
			c.settle(ctx, c.self(w, pairs))
			continue
		}
		if c.asking == atOnce {
			continue
		}
		c.desk.begin(w)
		c.asking++
		r, from, to, err := c.way(w)
		c.questions.Go(func() {
			res := result{who: w, pairs: pairs, err: err}
			if err == nil {
				res.answer, res.err = ask(ctx, r, from, to, pairs)
			}
			select {
			case c.results <- res:
			case <-ctx.Done():
			}
		})
	}
}

// self answers about our own pods.
func (c *Census) self(who health.Name, pairs []Pair) result {
	r := result{who: who, pairs: pairs, answer: c.server.answer(pairs)}
	if r.answer.States == nil {
		r.err = errKnowsNothing
	}
	return r
}

// way returns by which addresses a node is asked: by the other family when it did not
// answer by the one, and so until that one fails too.
func (c *Census) way(who health.Name) (r *roster, from netip.Addr, to netip.AddrPort, err error) {
	if r = c.server.roster.Load(); r == nil {
		return r, from, to, errNoSeal
	}
	ways := ways(c.sources, c.addresses[who])
	if len(ways) == 0 {
		return r, from, to, errNoWay
	}
	w := ways[c.desk.node(who).way%len(ways)]
	return r, w.from, netip.AddrPortFrom(w.to, c.config.Port), nil
}

// pair is where a question comes from and where it goes.
type pair struct{ from, to netip.Addr }

// ways are those from a node's first address of each family to another's, in the order
// of the other's.
func ways(from, to []netip.Addr) (out []pair) {
	for _, a := range to {
		same := func(o netip.Addr) bool { return o.Is4() == a.Is4() }
		i := slices.IndexFunc(from, same)
		if i >= 0 && !slices.ContainsFunc(out, func(p pair) bool { return same(p.to) }) {
			out = append(out, pair{from[i], a})
		}
	}
	return out
}

// settle takes in what became of a question. The tables are told first, so that a
// node that comes back by this finds them as it is.
func (c *Census) settle(ctx context.Context, r result) {
	if r.err != nil {
		c.asked.Failed++
		c.desk.failed(r.who, time.Now())
		c.deps.Log.Debug("a node does not say which pods live there", "node", r.who, "error", r.err)
		c.fault("ask", fmt.Errorf("asking node %v which of its pods live, while the mirror of its cluster is stale: %w", r.who, r.err))
		return
	}
	if len(r.pairs) > 0 {
		c.asked.Answered++
		c.fault("ask", nil)
	}
	gone, back := c.desk.settled(r.who, r.answer.Life, r.pairs, r.answer.States, time.Now())
	if len(gone)+len(back) > 0 {
		c.withdraw(ctx, r.who.Cluster)
	}
	_ = c.deps.Judge.Confirm(ctx, r.who, r.answer.Life) // only ctx ends it
	if len(gone) > 0 && c.desk.cluster(r.who.Cluster).fresh {
		_ = c.deps.Judge.Spread(ctx, r.who)
	}
	c.tell(r.who, gone, back)
}
