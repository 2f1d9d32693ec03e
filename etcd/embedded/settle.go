package embedded

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// joining is the file that says that what the data directory holds was begun
// as a learner and may be half of it.
const joining = "joining"

// askEvery is how often a member without data asks the others, and askFor how
// long it waits for an answer.
const (
	askEvery = 300 * time.Millisecond
	askFor   = 2 * time.Second
)

// settle gives a member of a cluster its data, if it has none: it founds the
// store, or returns how it joins the one that the others have.
//
// A store is founded only while every member is there and says that it has
// nothing. So a member that lost its disk never takes the silence of others for
// a first start: it waits for them.
func settle(ctx context.Context, cfg Config, log *slog.Logger) (*invitation, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	half, err := exists(filepath.Join(cfg.Dir, joining))
	if err == nil && half {
		err = os.RemoveAll(filepath.Join(cfg.Dir, "member"))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	stored, err := exists(filepath.Join(cfg.Dir, "member"))
	if err != nil {
		return nil, fmt.Errorf("reading the data directory: %w", err)
	}
	if stored && storedMembers(cfg.Dir, log) == 1 {
		return nil, initialise(ctx, cfg, log) // it may be restored, or of a single server
	}
	if stored {
		return nil, nil
	}
	return newcomer(ctx, cfg, log)
}

// storedMembers counts the members that the data in dir knows.
func storedMembers(dir string, log *slog.Logger) int {
	be := backend.NewDefaultBackend(zapLogger(log), datadir.ToBackendFileName(dir))
	defer be.Close()
	members, _ := schema.NewMembershipBackend(zapLogger(log), be).MustReadMembersFromBackend()
	return len(members)
}

// newcomer asks the others until it is clear what a member without data does.
func newcomer(ctx context.Context, cfg Config, log *slog.Logger) (*invitation, error) {
	door, err := openDoor(cfg, log)
	if err != nil {
		return nil, err
	}
	defer door.close()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for told := ""; ; {
		step, reason := decide(cfg.Cluster, door.askAll(ctx, cfg.Cluster))
		if step == found {
			log.Info("founding the store: every member is there and has nothing")
			door.close()
			return nil, initialise(ctx, cfg, log)
		}
		if step == join {
			var i *invitation
			if i, err = ask(ctx, cfg, reason); err == nil {
				log.Info("joining the store", "of", reason)
				return i, nil
			}
			reason = err.Error()
		}
		if reason != told {
			log.Warn("this member has no data and waits", "reason", reason)
		}
		told = reason
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the other members: %s: %w", reason, ctx.Err())
		}
	}
}

// answer is what another member says: that it waits too, or the clients' URLs
// of a store that there is; with neither it is away.
type answer struct {
	waits  bool
	client []string
	err    error
}

// step is what a member without data does next.
type step int

const (
	wait step = iota
	found
	join
)

// decide says what a member without data does, and why it waits, or by which
// URLs, separated by commas, it joins.
func decide(c Cluster, answers map[string]answer) (step, string) {
	var urls, away []string
	for _, name := range c.others() {
		a := answers[name]
		urls = append(urls, a.client...)
		if !a.waits && len(a.client) == 0 {
			away = append(away, fmt.Sprintf("%s (%v)", name, cmp.Or(a.err, errNoAnswer)))
		}
	}
	switch {
	case len(answers[c.Name].client) > 0:
		// It would be removed as the one whose disk was lost.
		return wait, fmt.Sprintf("another process is the member %q and serves at %s: give each a name of its own as --etcd-member", c.Name, c.url())
	case len(urls) > 0:
		return join, strings.Join(urls, ",")
	case len(away) > 0:
		return wait, "a new store is founded only while all members are there; away: " + strings.Join(away, ", ")
	case c.first():
		return found, ""
	}
	return wait, "all members are there and have nothing; the first of them founds the store"
}

// askAll asks every member at once, and at its own URL who is there.
func (d *door) askAll(ctx context.Context, c Cluster) map[string]answer {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	names := slices.Collect(maps.Keys(c.Members))
	got := make([]answer, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { got[i] = d.ask(ctx, c.Members[name]) })
	}
	all.Wait()
	answers := make(map[string]answer, len(names))
	for i, name := range names {
		answers[name] = got[i]
	}
	return answers
}
