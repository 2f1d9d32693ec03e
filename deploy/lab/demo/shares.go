package demo

import (
	"context"
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// requests is how many a step asks where it counts shares.
const requests = 1000

// shares asks the service as it is from the start, by both families.
func shares(ctx context.Context, d *Demo) error {
	pods := append(podsOf(d.here), podsOf(d.there)...)
	for _, address := range objects.EchoAddresses(d.here).List() {
		all, err := d.settled(ctx, address, pods)
		if err != nil {
			return err
		}
		r := echo.Summarize(all)
		d.say("%d requests from %s to %s: %d failed, median %s", r.Requests, d.client, address, r.Failed, millis(r.Median))
		d.say("  %s", counts(r.Pods))
		if err := evenly(r, pods); err != nil {
			return err
		}
	}
	return nil
}

// settled asks until every pod of pods has answered, and returns the samples of
// a thousand requests after that.
func (d *Demo) settled(ctx context.Context, address netip.Addr, pods []string) ([]echo.Sample, error) {
	s, err := d.ask(address)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	answered := map[string]bool{}
	_, err = s.until(ctx, func(x echo.Sample) bool {
		if x.Error == "" {
			answered[x.Answer.Pod.Pod] = true
		}
		return len(answered) == len(pods)
	})
	if err != nil {
		return nil, fmt.Errorf("expected an answer of each of %d pods: %w", len(pods), err)
	}
	all, err := s.more(ctx, requests)
	return latest(all), err
}

// latest returns the last thousand samples.
func latest(all []echo.Sample) []echo.Sample { return all[max(0, len(all)-requests):] }

func podsOf(c plan.Cluster) []string {
	var out []string
	for _, n := range c.Nodes {
		for _, p := range n.Pods {
			out = append(out, p.Name)
		}
	}
	return out
}
