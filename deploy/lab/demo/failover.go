package demo

import (
	"context"
	"errors"
	"fmt"

	"tombolo.io/tombolo/deploy/lab/objects"
)

// failover makes the local endpoints unready and ready again under load.
func failover(ctx context.Context, d *Demo) (err error) {
	s, err := d.ask(objects.EchoAddresses(d.here).IPv4)
	if err != nil {
		return err
	}
	defer s.stop()
	defer func() { err = errors.Join(err, d.restore(ctx, d.echo())) }()
	local := d.echo()
	local.Affinity = "local"
	cause, err := d.apply(ctx, d.here, local)
	if err != nil {
		return err
	}
	if _, err := s.steadily(ctx, d.here.Name, cause); err != nil {
		return err
	}
	unready := local
	unready.AllNotReady = true
	if err := d.turn(ctx, s, unready, d.there.Name); err != nil {
		return fmt.Errorf("the local endpoints are unready: %w", err)
	}
	if err := d.turn(ctx, s, local, d.here.Name); err != nil {
		return fmt.Errorf("the local endpoints are ready again: %w", err)
	}
	return nil
}

// turn applies a service and wants every answer from one cluster from its first
// answer on.
func (d *Demo) turn(ctx context.Context, s *stream, service objects.Service, to string) error {
	cause, err := d.apply(ctx, d.here, service)
	if err != nil {
		return err
	}
	if _, err := s.steadily(ctx, to, cause); err != nil {
		return err
	}
	all, err := s.more(ctx, requests)
	if err != nil {
		return err
	}
	t, _ := turned(all, cause, to)
	state := "ready"
	if service.AllNotReady {
		state = "unready"
	}
	d.say("%s: first answer from %s after %s; of the next %d requests %d from elsewhere; %d failed",
		state, to, millis(t.First), t.After, t.Stray, t.Failed)
	if d.Lab.Kubernetes != "" && t.Failed == 0 {
		// Its pods change one after the other, each by its kubelet, and while half
		// of them are ready a part of the load goes elsewhere, as it should.
		d.say("the last request to elsewhere began %s after the change", millis(t.Last))
		return nil
	}
	if t.Stray > 0 || t.Failed > 0 {
		return fmt.Errorf("expected every next answer from %s and no failure, saw %d from elsewhere and %d failures; %s", to, t.Stray, t.Failed, seen(all))
	}
	return nil
}
