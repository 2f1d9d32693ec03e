package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"tombolo.io/tombolo/etcd"
)

// invitation is how a member without data starts.
type invitation struct {
	// cluster are all members, as etcd wants them: name=URL, comma-separated.
	cluster string
}

// ask has the store at these URLs, comma-separated, take this member in as a
// learner, which counts for no majority. An older one of its name or URL, whose
// disk was lost, is removed first.
func ask(ctx context.Context, cfg Config, urls string) (*invitation, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := cfg.Cluster.dial(strings.Split(urls, ","))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.Raw().MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the members of the store: %w", err)
	}
	for _, m := range list.Members {
		if !cfg.Cluster.ours(m) {
			continue
		}
		if _, err := c.Raw().MemberRemove(ctx, m.ID); err != nil {
			return nil, fmt.Errorf("removing the member that was here before its disk was lost: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, joining), nil, 0o600); err != nil {
		return nil, fmt.Errorf("noting that this member joins: %w", err)
	}
	added, err := c.Raw().MemberAddAsLearner(ctx, []string{cfg.Cluster.url()})
	if err != nil {
		return nil, fmt.Errorf("joining the store: %w", err)
	}
	var all []string
	for _, m := range added.Members {
		name := m.Name
		if m.ID == added.Member.ID {
			name = cfg.Cluster.Name
		} else if name == "" { // it was added and has not said its name yet
			name = fmt.Sprintf("%x", m.ID)
		}
		for _, u := range m.PeerURLs {
			all = append(all, name+"="+u)
		}
	}
	return &invitation{cluster: strings.Join(all, ",")}, nil
}

// ours says whether a member of the store is this one.
func (c Cluster) ours(m *pb.Member) bool {
	return m.Name == c.Name || slices.Contains(m.PeerURLs, c.url())
}

// dial connects to members of the store as root.
func (c Cluster) dial(urls []string) (*etcd.Client, error) {
	cfg := etcd.Config{Endpoints: urls}
	if !c.Root.Empty() {
		var err error
		if cfg.TLS, err = c.Root.Client(); err != nil {
			return nil, err
		}
	}
	return etcd.Dial(cfg)
}

// attend completes the start of a member that serves: it becomes one that
// votes, is known by its present URL, and the store has the users wanted.
func attend(ctx context.Context, cfg Config, s *etcdserver.EtcdServer) error {
	if err := os.Remove(filepath.Join(cfg.Dir, joining)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("noting that this member has joined: %w", err)
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for s.IsLearner() {
		err := promote(ctx, cfg, s)
		select {
		case <-tick.C:
		case <-s.StopNotify():
			return errors.New("it stopped by itself before it could vote")
		case <-ctx.Done():
			return fmt.Errorf("waiting for a vote in the store: %w: %w", ctx.Err(), err)
		}
	}
	root := s.AuthStore().WithRoot(ctx)
	own := s.Cluster().Member(s.MemberID())
	if own != nil && !slices.Equal(own.PeerURLs, []string{cfg.Cluster.url()}) {
		m := membership.Member{ID: own.ID, RaftAttributes: membership.RaftAttributes{PeerURLs: []string{cfg.Cluster.url()}}}
		if _, err := s.UpdateMember(root, m); err != nil {
			return fmt.Errorf("telling the store this member's URL: %w", err)
		}
	}
	return settleUsers(root, v3client.New(s), cfg)
}

// promote asks every member to let this one vote; only the leader can, once
// this one has all that there is.
func promote(ctx context.Context, cfg Config, s *etcdserver.EtcdServer) error {
	var errs []error
	for _, m := range s.Cluster().Members() {
		if m.ID == s.MemberID() || len(m.ClientURLs) == 0 {
			continue
		}
		c, err := cfg.Cluster.dial(m.ClientURLs)
		if err != nil {
			return err
		}
		asked, cancel := context.WithTimeout(ctx, askFor)
		_, err = c.Raw().MemberPromote(asked, uint64(s.MemberID()))
		cancel()
		c.Close()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// settleUsers gives the store the users and roles wanted, where they differ:
// the roles of a user that is given new ones are missing for a moment.
func settleUsers(ctx context.Context, c *clientv3.Client, cfg Config) error {
	status, err := c.AuthStatus(ctx)
	if err != nil {
		return fmt.Errorf("reading whether the store authenticates: %w", err)
	}
	if cfg.TLS.Empty() {
		if !status.Enabled {
			return nil
		}
		return disable(ctx, c)
	}
	if status.Enabled {
		same, err := granted(ctx, c, cfg.Users)
		if err != nil || same {
			return err
		}
	}
	return grant(ctx, c, cfg.Users)
}
