package apiserver

import (
	"context"
	"time"

	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

// tellEvery is how often the source is told how its objects stand. Reading that
// from a store of 5,000 nodes is 5 MB.
const tellEvery = 5 * time.Second

// tell tells the source how its objects stand, while we lead, if it is one that
// tells their owners.
func (a *APIServer) tell(ctx context.Context, c *etcd.Client) {
	teller, ok := a.source.(source.Teller)
	if !ok {
		return
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s := a.Status(); !s.Leader || !s.Passed {
			continue // what is not stored yet would be told to be pending
		}
		asked, cancel := context.WithTimeout(ctx, patience)
		all, err := inspect.Objects(asked, c)
		cancel()
		if err != nil {
			a.log.Debug("how objects stand cannot be read", "err", err)
			continue
		}
		teller.Tell(all)
	}
}
