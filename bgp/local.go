package bgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"time"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/kept"
)

// heard is what came of asking the agent: what it says, or why it does not.
type heard struct {
	said *clustermesh.Readiness
	err  error
}

// The agent answers within two seconds, with something new or not. It is asked
// again after askNext, and one that does not answer after askAgain.
const (
	agentPatience = 4 * time.Second
	askNext       = 20 * time.Millisecond
	askAgain      = 250 * time.Millisecond
)

// follow asks the node's agent what it serves, again and again, until ctx ends.
func follow(ctx context.Context, runDir string, out chan<- heard) error {
	agent := control.NewClient(runDir, clustermesh.RoleAgent)
	agent.Patience = agentPatience
	for version := ""; ; {
		h := heard{said: &clustermesh.Readiness{}}
		pause := askNext
		if h.err = agent.Get(ctx, clustermesh.ReadinessPage+"?after="+url.QueryEscape(version), h.said); h.err == nil {
			version = h.said.Version
		} else {
			pause = askAgain
		}
		select {
		case out <- h:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// local is what is known of the node's data path. An agent that is lost is
// believed further, while the programs that it pinned are there.
type local struct {
	path string
	// said is the last word of an agent, nil when there never was one.
	said *clustermesh.Readiness
	// asked is set once an agent answered, or did not.
	asked bool
	// away is why the agent does not answer, nil while it does, and since when.
	away  error
	since time.Time
	// mute: the agent is, or was when it was lost, of a version that says nothing
	// of this; the store alone decides until one speaks.
	mute bool
	// gone: the pinned programs are not there any more.
	gone bool
}

// openLocal reads the last word that was kept on disk. Without one, paths of
// services among those that were kept are from a speaker of an older version:
// nothing of them goes before an agent spoke.
func openLocal(path string, before []router) (local, error) {
	said, ok, err := kept.Read[clustermesh.Readiness](path)
	l := local{path: path}
	if ok && err == nil {
		l.said = &said
	}
	if err != nil {
		err = fmt.Errorf("reading the agent's last word: %w", err)
	}
	l.mute = l.said == nil && len(hostRoutes(before)) > 0
	return l, err
}

// take takes in what was heard, and reports whether that changes anything. The
// error is about keeping it.
func (l *local) take(h heard, now time.Time) (changed bool, err error) {
	before := *l
	l.asked = true
	if h.err == nil {
		l.away, l.since, l.mute, l.gone = nil, time.Time{}, false, false
		changed = l.said == nil || !l.said.Same(h.said)
		l.said = h.said
		if changed {
			if err = kept.Write(l.path, *h.said); err != nil {
				err = fmt.Errorf("keeping the agent's word: %w", err)
			}
		}
	} else {
		if l.away == nil {
			l.since = now
		}
		l.away = h.err
		l.mute = l.mute || errors.Is(h.err, control.ErrNoPage)
		l.gone = l.said != nil && slices.ContainsFunc(l.said.Pins, missing)
	}
	return changed || !before.asked || before.mute != l.mute || before.gone != l.gone, err
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// input returns what decides; nil when an agent of an older version cannot say.
func (l *local) input() *advertise.Local {
	out := &advertise.Local{Addresses: map[advertise.ServiceAddress]bool{}}
	switch {
	case l.mute:
		return nil
	case l.said == nil || l.gone:
		return out
	}
	for _, a := range l.said.Addresses {
		out.Addresses[advertise.ServiceAddress{Service: a.Service, Address: a.Address}] = a.Ready
	}
	return out
}

// problem says what is wrong with the agent, or nothing.
func (l *local) problem() error {
	switch {
	case l.away == nil || errors.Is(l.away, control.ErrNoPage):
		return nil
	case l.mute:
		return fmt.Errorf("no agent since %s; the store alone decides until one speaks: %w", l.since.UTC().Format(time.TimeOnly), l.away)
	case l.said == nil:
		return fmt.Errorf("this node balances nothing yet: %w", l.away)
	case l.gone:
		return fmt.Errorf("this node balances nothing any more, its programs are not there: %w", l.away)
	}
	return fmt.Errorf("no word since %s, the last one holds while the programs run: %w", l.since.UTC().Format(time.TimeOnly), l.away)
}
