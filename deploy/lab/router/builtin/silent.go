package builtin

import (
	"context"
	"log/slog"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"tombolo.io/tombolo/deploy/lab/router"
)

// dropSilent drops what neighbours said whose hold timer expired, until ctx ends. The
// library keeps it for their restart time, as after a connection that was cut; but
// somebody who is silent does not restart, and RFC 4724, 4.2 has routes kept only where
// no NOTIFICATION was sent. FRR and BIRD see it so.
func dropSilent(ctx context.Context, s *server.BgpServer, c router.Config, silent <-chan string, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case neighbour := <-silent:
			if err := drop(ctx, s, c, neighbour); err != nil {
				log.Warn("routes of a silent neighbour stay for its restart time", "neighbour", neighbour, "error", err)
			}
		}
	}
}

// drop removes a neighbour with its routes, and waits for it anew.
func drop(ctx context.Context, s *server.BgpServer, c router.Config, neighbour string) error {
	if err := s.DeletePeer(ctx, &api.DeletePeerRequest{Address: neighbour}); err != nil {
		return err
	}
	for _, l := range c.Links {
		if l.Remote.String() == neighbour {
			return s.AddPeer(ctx, &api.AddPeerRequest{Peer: link(c, l)})
		}
	}
	return nil // nodes come by themselves
}
