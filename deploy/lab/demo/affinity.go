package demo

import (
	"context"
	"errors"
	"fmt"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
)

// affinity changes the annotation under load; no request may fail meanwhile.
func affinity(ctx context.Context, d *Demo) (err error) {
	s, err := d.ask(objects.EchoAddresses(d.here).IPv4)
	if err != nil {
		return err
	}
	defer s.stop()
	defer func() { err = errors.Join(err, d.restore(ctx, d.echo())) }()
	for _, c := range []struct{ affinity, cluster string }{{"local", d.here.Name}, {"remote", d.there.Name}} {
		service := d.echo()
		service.Affinity = c.affinity
		if err := d.prefer(ctx, s, service, c.cluster); err != nil {
			return fmt.Errorf("affinity %s: %w", c.affinity, err)
		}
	}
	return nil
}

// prefer applies a service and wants all answers from one cluster soon after.
func (d *Demo) prefer(ctx context.Context, s *stream, service objects.Service, cluster string) error {
	cause, err := d.apply(ctx, d.here, service)
	if err != nil {
		return err
	}
	if _, err := s.steadily(ctx, cluster, cause); err != nil {
		return err
	}
	all, err := s.more(ctx, requests)
	if err != nil {
		return err
	}
	t, _ := turned(all, cause, cluster)
	r := echo.Summarize(latest(all))
	d.say("%s: the last request to elsewhere began %s after the change; then %d of %d answered by %s, %d failed",
		service.Affinity, millis(t.Last), r.Clusters[cluster], r.Requests, cluster, t.Failed)
	if r.Clusters[cluster] != r.Requests || t.Failed > 0 {
		return fmt.Errorf("expected all answers from %s and none failed, saw %s", cluster, seen(all))
	}
	return nil
}

// restore applies a service again as the lab has it.
func (d *Demo) restore(ctx context.Context, service objects.Service) error {
	_, err := d.apply(context.WithoutCancel(ctx), d.here, service) // also when the step's time is over
	return err
}
