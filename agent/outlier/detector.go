package outlier

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Host is a backend of the port.
type Host struct {
	Cluster uint16
	Address netip.AddrPort
}

// Compare orders hosts by cluster and address.
func (h Host) Compare(o Host) int {
	return cmp.Or(cmp.Compare(h.Cluster, o.Cluster), h.Address.Compare(o.Address))
}

// interval is for how long a host must stand, after it came back, until one of
// its ejections is forgotten. It is Envoy's, by its default.
const interval = 10 * time.Second

// Detector says which hosts of one port are ejected. The zero value knows none.
type Detector struct {
	settings clustermesh.OutlierDetection
	hosts    []Host // ordered, each once
	// records are of hosts that were ejected at least once, and not forgotten.
	records map[Host]*record
	ejected int // of the records
}

// record is what is remembered of a host.
type record struct {
	ejection Ejection
	out      bool      // it is ejected
	times    int       // ejections in a row, 1 and more
	back     time.Time // when the last one ended
}

// Ejection is a host that is left out.
type Ejection struct {
	Host
	Since, Until time.Time
	// Cause is how it failed last, Failures how often in a row.
	Cause    string
	Failures int
}

// Outcome is what a failure led to.
type Outcome uint8

// The outcomes.
const (
	// Nothing: too few failures yet, or the host is ejected, or is none of ours.
	Nothing Outcome = iota
	// Ejected: the host is left out from now on.
	Ejected
	// Overflow: it would be, but too many are already. It goes on being used.
	Overflow
)

// Set says what holds from now on: the settings and the hosts that could serve,
// ejected ones included, in any order. Hosts that are gone are forgotten. It
// returns those that come back before their time, because of fewer hosts fewer
// may be ejected: those first whose time would have ended first.
func (d *Detector) Set(now time.Time, settings clustermesh.OutlierDetection, hosts []Host) (back []Host) {
	d.settings = settings
	d.hosts = slices.Compact(slices.SortedFunc(slices.Values(hosts), Host.Compare))
	for h, r := range d.records {
		if _, here := slices.BinarySearchFunc(d.hosts, h, Host.Compare); !here {
			d.ejected -= truth(r.out)
			delete(d.records, h)
		}
	}
	for !d.allows(d.ejected) {
		e := slices.MinFunc(d.Ejections(), func(a, b Ejection) int {
			return cmp.Or(a.Until.Compare(b.Until), a.Host.Compare(b.Host))
		})
		d.bring(now, e.Host)
		back = append(back, e.Host)
	}
	return back
}

// allows reports whether as many hosts may be ejected.
func (d *Detector) allows(n int) bool {
	return n*100 <= len(d.hosts)*int(d.settings.MaxEjectionPercent)
}

// Fail says that connections to a host failed, so many in a row, the last one by
// a cause.
func (d *Detector) Fail(now time.Time, h Host, failures int, cause string) Outcome {
	r := d.records[h]
	_, here := slices.BinarySearchFunc(d.hosts, h, Host.Compare)
	switch {
	case !here, failures < int(d.settings.ConsecutiveFailures), r != nil && r.out:
		return Nothing
	case !d.allows(d.ejected + 1):
		return Overflow
	}
	if r == nil {
		r = &record{}
		if d.records == nil {
			d.records = map[Host]*record{}
		}
		d.records[h] = r
	}
	r.forgive(now)
	if base := d.settings.BaseEjectionTime; time.Duration(r.times)*base < d.settings.MaxEjectionTime {
		r.times++
	}
	span := min(time.Duration(r.times)*d.settings.BaseEjectionTime, d.settings.MaxEjectionTime)
	r.out, r.ejection = true, Ejection{Host: h, Since: now, Until: now.Add(span), Cause: cause, Failures: failures}
	d.ejected++
	return Ejected
}

// forgive forgets an ejection for each interval that the host stood since it
// came back.
func (r *record) forgive(now time.Time) {
	if r.times > 0 {
		r.times = max(0, r.times-int(now.Sub(r.back)/interval))
	}
}

// bring ends an ejection.
func (d *Detector) bring(now time.Time, h Host) {
	d.records[h].out, d.records[h].back = false, now
	d.ejected--
}

// Expire returns, in order, the hosts whose time has ended, who are ejected no more.
func (d *Detector) Expire(now time.Time) (back []Host) {
	for _, e := range d.Ejections() {
		if !now.Before(e.Until) {
			d.bring(now, e.Host)
			back = append(back, e.Host)
		}
	}
	return back
}

// Next returns when the next ejection ends; false when there is none.
func (d *Detector) Next() (next time.Time, found bool) {
	for _, r := range d.records {
		if r.out && (!found || r.ejection.Until.Before(next)) {
			next, found = r.ejection.Until, true
		}
	}
	return next, found
}

// Ejections returns those who are ejected, ordered by Host.
func (d *Detector) Ejections() []Ejection {
	var out []Ejection
	for _, r := range d.records {
		if r.out {
			out = append(out, r.ejection)
		}
	}
	slices.SortFunc(out, func(a, b Ejection) int { return a.Host.Compare(b.Host) })
	return out
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
