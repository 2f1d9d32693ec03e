package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// request is an order of somebody's: what it does is done by the leader's term,
// between two passes, and answered when that is stored.
type request struct {
	what string
	do   func(*term, time.Time) error
	// done has room for the outcome.
	done chan error
}

// order has the loop carry an order out, and returns when it is stored.
func (a *APIServer) order(ctx context.Context, what string, do func(*term, time.Time) error) error {
	r := request{what, do, make(chan error, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: it is not stored yet: %w", what, context.Cause(ctx))
	}
}

// order stages what an order asks for.
func (l *loop) order(r request, now time.Time) {
	if l.term == nil {
		r.done <- fmt.Errorf("%s: %w", r.what, l.whyNot())
		return
	}
	if err := r.do(l.term, now); err != nil {
		r.done <- err
		return
	}
	l.pending = append(l.pending, r)
}

// whyNot says why this API server writes nothing.
func (l *loop) whyNot() error {
	switch {
	case l.turn == nil && l.leader != "":
		return fmt.Errorf("this API server stands by; ask that of node %s, which leads", l.leader)
	case l.turn == nil:
		return errors.New("this API server does not lead, and who does is not known yet")
	}
	return errors.Join(errors.New("the store was not read yet"), l.failed)
}

// answer tells those whose orders are stored, or are not.
func (l *loop) answer() {
	if len(l.pending) == 0 {
		return
	}
	var err error
	switch {
	case l.term == nil:
		err = errors.New("it may be stored or not: the lead was lost meanwhile")
	case l.term.writer.Staged() == 0:
	case l.failed != nil:
		err = fmt.Errorf("it is not stored yet, and tried again: %w", l.failed)
	default:
		return // still being written
	}
	for _, r := range l.pending {
		r.done <- err
	}
	l.pending = nil
}
