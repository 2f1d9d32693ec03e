package etcd

import (
	"context"
	"log/slog"
	"time"
)

// The time between two looks at why a store is out of reach: after the first, which may
// have met a server that was about to die, and after the others.
const (
	examineAgain = 2 * time.Second
	examineEvery = 5 * time.Second
)

// diagnosis is why a store is out of reach that is so since stale.
type diagnosis struct {
	stale time.Time
	err   error
}

// examiner finds out why a store is out of reach, beside the attempts to reach it.
type examiner struct {
	client *Client
	log    *slog.Logger
	stale  time.Time
	// errs has what the newest attempt ended with.
	errs  chan error
	found chan<- diagnosis
}

// run looks until ctx ends, which is when the store is in reach again. It tells and logs
// what it finds when that is news.
func (x *examiner) run(ctx context.Context) {
	var err error
	select {
	case err = <-x.errs:
	case <-ctx.Done():
	}
	said := ""
	for pause := examineAgain; ctx.Err() == nil; pause = examineEvery {
		why := x.client.Explain(ctx, err)
		if why.Error() != said && ctx.Err() == nil {
			said = why.Error()
			x.tell(ctx, why)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		select {
		case err = <-x.errs:
		default: // attempts may take longer
		}
	}
}

func (x *examiner) tell(ctx context.Context, why error) {
	x.log.Warn("store is still out of reach", "why", why)
	select {
	case x.found <- diagnosis{x.stale, why}:
	case <-ctx.Done():
	}
}

// attempted takes what an attempt ended with, in place of what nobody took yet. It has
// one caller, and does not wait.
func (x *examiner) attempted(err error) {
	select {
	case <-x.errs:
	default:
	}
	x.errs <- err
}
