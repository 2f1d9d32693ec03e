package clustermesh

import "time"

// OutlierDetection says when a node stops to send its clients to a backend that
// does not take their connections. The names are Envoy's. The zero value is off.
type OutlierDetection struct {
	// ConsecutiveFailures is how many connects in a row must fail, 1 to 1000.
	ConsecutiveFailures uint16
	// BaseEjectionTime is how long the backend is left out the first time; the
	// second time in a row twice as long, then three times, and never longer than
	// MaxEjectionTime. Whole seconds, from one to a day.
	BaseEjectionTime, MaxEjectionTime time.Duration
	// MaxEjectionPercent is how many of the backends of a service port may be left
	// out at the same time, 1 to 50.
	MaxEjectionPercent uint8
}

// DefaultOutlierDetection is what holds where a service wants detection and says
// no more. The times are Envoy's. Three failures suffice instead of five: those
// that are counted here are refusals by a kernel and silence, not a server's bad
// answers.
func DefaultOutlierDetection() OutlierDetection {
	return OutlierDetection{
		ConsecutiveFailures: 3,
		BaseEjectionTime:    30 * time.Second,
		MaxEjectionTime:     300 * time.Second,
		MaxEjectionPercent:  50,
	}
}

// On reports whether failing backends are looked for.
func (o OutlierDetection) On() bool { return o != OutlierDetection{} }

// Bounds of the fields of OutlierDetection.
const (
	MaxConsecutiveFailures = 1000
	MaxEjectionPercent     = 50
)

func (o OutlierDetection) check(c *checker) {
	if !o.On() {
		return
	}
	if n := o.ConsecutiveFailures; n < 1 || n > MaxConsecutiveFailures {
		c.fail("consecutive failures", n, "must be from 1 to %d", MaxConsecutiveFailures)
	}
	c.seconds("base ejection time", o.BaseEjectionTime, time.Second, 24*time.Hour)
	c.seconds("max ejection time", o.MaxEjectionTime, time.Second, 24*time.Hour)
	if o.BaseEjectionTime == 0 || o.MaxEjectionTime < o.BaseEjectionTime {
		c.fail("max ejection time", o.MaxEjectionTime, "must be no shorter than the base ejection time, and both at least a second")
	}
	if n := o.MaxEjectionPercent; n < 1 || n > MaxEjectionPercent {
		c.fail("max ejection percent", n, "must be from 1 to %d", MaxEjectionPercent)
	}
}
