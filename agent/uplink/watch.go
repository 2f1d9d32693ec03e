package uplink

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch returns a channel that has a value when devices or addresses may have
// changed since it was last read, until ctx ends. Routes are not among it: in a
// node that holds the Internet's they never stand still.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribing to changes of devices: %w", err)
	}
	context.AfterFunc(ctx, s.Close)
	changed := make(chan struct{}, 1)
	go func() {
		for {
			// ENOBUFS: there was so much that some was lost.
			if _, _, err := s.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
