package bgp

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
)

// library is the BGP server of one router: its RIB holds what this router
// should have, and its only neighbour is the session layer, on loopback.
type library struct {
	server *server.BgpServer
	local  endpoints
	key    string
	// given are the paths that the server has, as they were given to it.
	given map[netip.Prefix]advertise.Path
	// peered is set while the server has its neighbour.
	peered bool
}

// endpoints are the two ends of the connection inside this process.
type endpoints struct {
	// server is where the library listens, session where the session layer
	// dials from; every router has a session address of its own.
	server  netip.AddrPort
	session netip.Addr
}

// startLibrary starts a server without a neighbour.
func startLibrary(ctx context.Context, local endpoints, key string, as uint32, id netip.Addr, log *slog.Logger) (*library, error) {
	l := &library{
		server: server.NewBgpServer(server.LoggerOption(libraryLog{log})),
		local:  local,
		key:    key,
		given:  map[netip.Prefix]advertise.Path{},
	}
	go l.server.Serve()
	err := l.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: as, RouterId: id.String(),
		ListenPort: int32(local.server.Port()), ListenAddresses: []string{local.server.Addr().String()},
	}})
	if err != nil {
		l.server.Stop()
		return nil, fmt.Errorf("starting a BGP server at %s: %w", local.server, err)
	}
	return l, nil
}

// set makes the RIB hold exactly these paths. It goes on after an error, so that
// one path that the library refuses holds no other back.
func (l *library) set(ctx context.Context, paths []advertise.Path) error {
	var errs []error
	wanted := make(map[netip.Prefix]bool, len(paths))
	for _, p := range paths {
		wanted[p.Prefix] = true
		if had, ok := l.given[p.Prefix]; ok && had.Equal(p) {
			l.given[p.Prefix] = p // another origin may ask for the same route
			continue
		}
		if err := l.add(ctx, p); err != nil {
			errs = append(errs, err)
		}
	}
	for prefix, p := range l.given {
		if !wanted[prefix] {
			if err := l.remove(ctx, p); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (l *library) add(ctx context.Context, p advertise.Path) error {
	path, err := encode(p)
	if err != nil {
		return err
	}
	if _, err := l.server.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path}); err != nil {
		return fmt.Errorf("adding the path %s: %w", p.Prefix, err)
	}
	l.given[p.Prefix] = p
	return nil
}

func (l *library) remove(ctx context.Context, p advertise.Path) error {
	path, err := encode(p)
	if err != nil {
		return err
	}
	err = l.server.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Family: path.Family, Path: path})
	if err != nil {
		return fmt.Errorf("withdrawing the path %s: %w", p.Prefix, err)
	}
	delete(l.given, p.Prefix)
	return nil
}

// join gives the server its neighbour, in place of the one it has. restarting
// is set for the first session of a process, whose router may still hold the
// routes of the process before (RFC 4724 4.1).
//
// A neighbour that is added anew connects at once, where one whose session
// ended would idle for 5 seconds.
func (l *library) join(ctx context.Context, p *clustermesh.BGPPeer, restarting bool) error {
	if err := l.leave(ctx); err != nil {
		return err
	}
	if err := l.server.AddPeer(ctx, &api.AddPeerRequest{Peer: l.neighbour(p, restarting)}); err != nil {
		return fmt.Errorf("adding the neighbour: %w", err)
	}
	l.peered = true
	return nil
}

// leave takes the neighbour away. The session layer must have closed the
// connection to the router before, or a Cease would withdraw all routes.
func (l *library) leave(ctx context.Context) error {
	if !l.peered {
		return nil
	}
	if err := l.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: l.local.session.String()}); err != nil {
		return fmt.Errorf("removing the neighbour: %w", err)
	}
	l.peered = false
	return nil
}

// stop ends the server.
func (l *library) stop() { l.server.Stop() }

// neighbour describes the router to the library, at the session layer's address.
func (l *library) neighbour(p *clustermesh.BGPPeer, restarting bool) *api.Peer {
	t := timersOf(p)
	n := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: l.local.session.String(), PeerAsn: p.ASN, LocalAsn: p.LocalASN, AuthPassword: l.key},
		Transport: &api.Transport{
			PassiveMode: true, LocalAddress: l.local.server.Addr().String(),
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: seconds(t.hold), KeepaliveInterval: seconds(t.keepalive), IdleHoldTimeAfterReset: 1,
		}},
		// The deferral time bounds how long the routes wait for the router's own
		// End-of-RIB; the library's default is 6 minutes (RFC 4724 4.1).
		GracefulRestart: &api.GracefulRestart{
			Enabled: true, RestartTime: uint32(seconds(t.restart)), DeferralTime: deferralSeconds, LocalRestarting: restarting,
		},
		// An eBGP neighbour on loopback is never directly connected for the
		// library; the real distance is checked by the session layer's TTL.
		EbgpMultihop: &api.EbgpMultihop{Enabled: p.ASN != p.LocalASN, MultihopTtl: 255},
	}
	for _, f := range families(p) {
		n.AfiSafis = append(n.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: apiFamily(f), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		})
	}
	return n
}

// routerID returns the node's BGP identifier: its first IPv4 address, or for a
// node that has none a number made from its name (RFC 6286 asks only that it be
// unique in the AS, and not zero).
func routerID(n *clustermesh.Node) netip.Addr {
	for _, a := range n.Addresses {
		if a.Is4() {
			return a
		}
	}
	h := fnv.New32a()
	h.Write([]byte(n.Name))
	sum := h.Sum32() | 1
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}
