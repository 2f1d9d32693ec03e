package health

import (
	"errors"
	"fmt"
	"time"
)

// Knobs are the numbers by which the machine judges. DefaultKnobs has those that
// the documentation explains; a zero knob is a mistake.
type Knobs struct {
	// Interval is the time between two probes to a watched node in each family, which
	// go in turn to its address and to its pods' prefix. 10 ms to 10 s.
	Interval time.Duration
	// Burst is how many probes of each kind confirm a suspicion, Gap apart. 5 to 100.
	Burst int
	Gap   time.Duration
	// Budget bounds the probes a second of all bursts together, and stretches the
	// interval where watching alone would take more than half of it.
	Budget int
	// Watchers is how many nodes of a cluster watch each other node of it, Covering
	// how many watch a node of another cluster, and Few of how many nodes of each
	// other cluster a node has an eye on at least.
	Watchers, Covering, Few int
	// MinTimeout and MaxTimeout bound how long a reply is waited for; between them
	// it is four times as long as replies of that node use to take.
	MinTimeout, MaxTimeout time.Duration
	// Quiet is for how long an answered burst quiets suspicions of its node.
	Quiet time.Duration
	// Stall is how late a step may be before what was waited for meanwhile is void.
	Stall time.Duration
	// MinUp is how long a node that was down once has to answer before it counts
	// as up; it doubles with each fall, up to MaxUp, and falls are forgiven after
	// Forgive without one.
	MinUp, MaxUp, Forgive time.Duration
	// Sweep is the time between probes to nodes that others watch: enough to know
	// that they answer here at all.
	Sweep time.Duration
}

// DefaultKnobs find a dead node in 0.6 s, and take none for dead in a path that
// loses 30 % each way.
func DefaultKnobs() Knobs {
	return Knobs{
		Interval: 50 * time.Millisecond, Burst: 20, Gap: 15 * time.Millisecond, Budget: 2000,
		Watchers: 5, Covering: 2, Few: 3,
		MinTimeout: 50 * time.Millisecond, MaxTimeout: 500 * time.Millisecond,
		Quiet: time.Second, Stall: 100 * time.Millisecond,
		MinUp: time.Second, MaxUp: time.Minute, Forgive: 10 * time.Minute,
		Sweep: 30 * time.Second,
	}
}

// silences in a row are a suspicion.
const silences = 3

// Validate says what is wrong with the knobs that have flags.
func (k Knobs) Validate() error {
	var errs []error
	if k.Interval < 10*time.Millisecond || k.Interval > 10*time.Second {
		errs = append(errs, fmt.Errorf("--probe-interval %v: want 10ms to 10s", k.Interval))
	}
	if k.Burst < 5 || k.Burst > 100 {
		errs = append(errs, fmt.Errorf("--probe-burst %d: want 5 to 100", k.Burst))
	}
	if all := int(kinds) * k.Burst; k.Budget < all {
		errs = append(errs, fmt.Errorf("--probe-budget %d: want at least the %d probes of one burst", k.Budget, all))
	}
	return errors.Join(errs...)
}
