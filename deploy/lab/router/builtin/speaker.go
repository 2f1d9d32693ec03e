package builtin

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/apiutil"
	"github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/protobuf/types/known/anypb"

	"tombolo.io/tombolo/deploy/lab/router"
)

// nodes is the name of the group that nodes' sessions are made from.
const nodes = "nodes"

// startSpeaker starts the library's server with all neighbours of the
// configuration. What it chooses goes to changes until ctx ends.
func startSpeaker(ctx context.Context, c router.Config, log *slog.Logger, changes chan<- []best) (*server.BgpServer, error) {
	silent := make(chan string, 1000)
	s := server.NewBgpServer(server.LoggerOption(libraryLog{log: log, silent: silent}))
	go s.Serve()
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: c.ASN, RouterId: c.ID.String(), ListenPort: int32(c.Port), UseMultiplePaths: true,
	}})
	if err != nil {
		return nil, fmt.Errorf("starting the BGP server: %w", err)
	}
	if err := configure(ctx, s, c, changes); err != nil {
		s.Stop()
		return nil, err
	}
	go dropSilent(ctx, s, c, silent, log)
	return s, nil
}

func configure(ctx context.Context, s *server.BgpServer, c router.Config, changes chan<- []best) error {
	if err := watch(ctx, s, changes); err != nil {
		return fmt.Errorf("watching the best paths: %w", err)
	}
	if err := heedShutdowns(ctx, s); err != nil {
		return err
	}
	for _, p := range c.Networks {
		path, err := originate(p)
		if err != nil {
			return fmt.Errorf("making the path of %s: %w", p, err)
		}
		if _, err := s.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path}); err != nil {
			return fmt.Errorf("originating %s: %w", p, err)
		}
	}
	if err := s.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: group(c)}); err != nil {
		return fmt.Errorf("adding the group of nodes: %w", err)
	}
	for _, p := range c.Nodes {
		n := &api.DynamicNeighbor{Prefix: p.String(), PeerGroup: nodes}
		if err := s.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: n}); err != nil {
			return fmt.Errorf("adding the nodes of %s: %w", p, err)
		}
	}
	for _, l := range c.Links {
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: link(c, l)}); err != nil {
			return fmt.Errorf("adding the link to %s: %w", l.Remote, err)
		}
	}
	return nil
}

// heedShutdowns makes a path with the community GRACEFUL_SHUTDOWN the last resort
// (RFC 8326). The preference is 1 because the library takes 0 for none.
func heedShutdowns(ctx context.Context, s *server.BgpServer) error {
	const name = "graceful-shutdown"
	set := &api.DefinedSet{DefinedType: api.DefinedType_COMMUNITY, Name: name, List: []string{"65535:0"}}
	policy := &api.Policy{Name: name, Statements: []*api.Statement{{
		Name:       name,
		Conditions: &api.Conditions{CommunitySet: &api.MatchSet{Type: api.MatchSet_ANY, Name: name}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ACCEPT, LocalPref: &api.LocalPrefAction{Value: 1}},
	}}}
	onImport := &api.PolicyAssignment{Name: "global", Direction: api.PolicyDirection_IMPORT,
		Policies: []*api.Policy{policy}, DefaultAction: api.RouteAction_ACCEPT}
	if err := s.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
		return fmt.Errorf("adding the community of graceful shutdowns: %w", err)
	}
	if err := s.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("adding the policy of graceful shutdowns: %w", err)
	}
	if err := s.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: onImport}); err != nil {
		return fmt.Errorf("heeding graceful shutdowns: %w", err)
	}
	return nil
}

func group(c router.Config) *api.PeerGroup {
	return &api.PeerGroup{
		Conf:            &api.PeerGroupConf{PeerGroupName: nodes, PeerAsn: c.NodeASN, AuthPassword: c.Password},
		Transport:       &api.Transport{PassiveMode: true},
		Timers:          &api.Timers{Config: hold(c)},
		GracefulRestart: restart(c),
		AfiSafis:        []*api.AfiSafi{afiSafi(api.Family_AFI_IP), afiSafi(api.Family_AFI_IP6)},
	}
}

func link(c router.Config, l router.Link) *api.Peer {
	afi := api.Family_AFI_IP6
	if l.Remote.Is4() {
		afi = api.Family_AFI_IP
	}
	timers := hold(c)
	timers.ConnectRetry, timers.IdleHoldTimeAfterReset = 1, 1
	return &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: l.Remote.String(), PeerAsn: l.ASN},
		Transport:       &api.Transport{LocalAddress: l.Local.String()},
		Timers:          &api.Timers{Config: timers},
		GracefulRestart: restart(c),
		AfiSafis:        []*api.AfiSafi{afiSafi(afi)},
	}
}

// hold returns the timers of the hold time; zeroes are the library's defaults.
func hold(c router.Config) *api.TimersConfig {
	seconds := uint64(c.HoldTime.Seconds())
	return &api.TimersConfig{HoldTime: seconds, KeepaliveInterval: seconds / 3}
}

func restart(c router.Config) *api.GracefulRestart {
	return &api.GracefulRestart{Enabled: true, RestartTime: uint32(c.RestartTime.Seconds()), DeferralTime: 3}
}

func afiSafi(afi api.Family_Afi) *api.AfiSafi {
	return &api.AfiSafi{
		Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
		MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
	}
}

// originate returns the path of a network of the router's own; the next hop
// becomes the router's address on each session.
func originate(p netip.Prefix) (*api.Path, error) {
	family := &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
	unspecified := netip.IPv6Unspecified()
	if p.Addr().Is4() {
		family.Afi, unspecified = api.Family_AFI_IP, netip.IPv4Unspecified()
	}
	nlri, err := anypb.New(&api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	if err != nil {
		return nil, err
	}
	origin, err := anypb.New(&api.OriginAttribute{Origin: 0})
	if err != nil {
		return nil, err
	}
	hop, err := anypb.New(&api.NextHopAttribute{NextHop: unspecified.String()})
	if err != nil {
		return nil, err
	}
	return &api.Path{Family: family, Nlri: nlri, Pattrs: []*anypb.Any{origin, hop}}, nil
}

// watch sends what the library chooses to changes until ctx ends.
func watch(ctx context.Context, s *server.BgpServer, changes chan<- []best) error {
	request := &api.WatchEventRequest{Table: &api.WatchEventRequest_Table{
		Filters: []*api.WatchEventRequest_Table_Filter{{Type: api.WatchEventRequest_Table_Filter_BEST, Init: true}},
	}}
	return s.WatchEvent(ctx, request, func(r *api.WatchEventResponse) {
		all := choices(r.GetTable().GetPaths())
		if len(all) == 0 {
			return
		}
		select {
		case changes <- all:
		case <-ctx.Done():
		}
	})
}

// choices groups the paths of an event by prefix: the library lists the equal
// best paths of a prefix one after the other, or one that is a withdrawal.
// Paths of the router's own networks lead nowhere and are none.
func choices(paths []*api.Path) []best {
	hops := map[netip.Prefix][]netip.Addr{}
	var order []netip.Prefix
	for _, p := range paths {
		prefix, hop, err := read(p)
		if err != nil {
			continue // no unicast prefix: nothing that a kernel could have
		}
		if _, seen := hops[prefix]; !seen {
			order = append(order, prefix)
			hops[prefix] = nil
		}
		if !p.IsWithdraw && hop.IsValid() && !hop.IsUnspecified() {
			hops[prefix] = append(hops[prefix], hop)
		}
	}
	out := make([]best, 0, len(order))
	for _, p := range order {
		slices.SortFunc(hops[p], netip.Addr.Compare)
		out = append(out, best{p, slices.Compact(hops[p])})
	}
	return out
}

// read takes prefix and next hop out of a path.
func read(p *api.Path) (netip.Prefix, netip.Addr, error) {
	var nlri api.IPAddressPrefix
	if err := p.Nlri.UnmarshalTo(&nlri); err != nil {
		return netip.Prefix{}, netip.Addr{}, err
	}
	addr, err := netip.ParseAddr(nlri.Prefix)
	if err != nil {
		return netip.Prefix{}, netip.Addr{}, err
	}
	prefix := netip.PrefixFrom(addr, int(nlri.PrefixLen))
	attrs, err := apiutil.GetNativePathAttributes(p)
	if err != nil {
		return netip.Prefix{}, netip.Addr{}, err
	}
	return prefix, nextHop(attrs), nil
}
