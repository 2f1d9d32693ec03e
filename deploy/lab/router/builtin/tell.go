package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/apiutil"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"tombolo.io/tombolo/deploy/lab/router"
)

// listen opens the socket that says that the router is ready.
func listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, router.BuiltinSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the socket: %w", err)
	}
	return l, nil
}

// lister is the part of the library's server that knows the paths.
type lister interface {
	ListPath(context.Context, *api.ListPathRequest, func(*api.Destination)) error
}

// tell writes all paths that the router knows to whoever connects, a line each,
// until the socket is closed.
func tell(ctx context.Context, l net.Listener, from lister, log *slog.Logger) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		// Most only ask whether the router is ready, and are gone by now. Nobody
		// who does not read keeps them waiting.
		conn.SetDeadline(time.Now().Add(time.Second))
		if err := writePaths(ctx, conn, from); err != nil {
			log.Debug("paths were not told", "error", err)
		}
		conn.Close()
	}
}

func writePaths(ctx context.Context, w io.Writer, from lister) error {
	var lines []string
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		request := &api.ListPathRequest{TableType: api.TableType_GLOBAL, Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}}
		if err := from.ListPath(ctx, request, func(d *api.Destination) {
			for _, p := range d.Paths {
				if text, err := describe(p); err == nil {
					lines = append(lines, text)
				}
			}
		}); err != nil {
			return fmt.Errorf("listing the paths: %w", err)
		}
	}
	slices.Sort(lines)
	_, err := io.WriteString(w, strings.Join(lines, ""))
	return err
}

// describe is a path as a line: "203.0.113.7/32 via 10.9.0.1 65000:1 65000:1:2",
// the communities as they are written in a BGPAdvertisement.
func describe(p *api.Path) (string, error) {
	prefix, hop, err := read(p)
	if err != nil {
		return "", err
	}
	attributes, err := apiutil.GetNativePathAttributes(p)
	if err != nil {
		return "", err
	}
	return strings.Join(append([]string{prefix.String(), "via", hop.String()}, communities(attributes)...), " ") + "\n", nil
}

// communities returns those of RFC 1997, then those of RFC 8092.
func communities(attributes []bgp.PathAttributeInterface) []string {
	var plain, large []string
	for _, a := range attributes {
		switch a := a.(type) {
		case *bgp.PathAttributeCommunities:
			for _, c := range a.Value {
				plain = append(plain, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
			}
		case *bgp.PathAttributeLargeCommunities:
			for _, c := range a.Values {
				large = append(large, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
			}
		}
	}
	return append(plain, large...)
}
