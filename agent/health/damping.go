package health

import "time"

// fall notes that a kind is down.
func (t *track) fall(now time.Time, k Knobs) {
	if now.Sub(t.fell) > k.Forgive {
		t.falls = 0
	}
	t.falls++
	t.down, t.fell, t.back, t.before, t.lent = now, now, time.Time{}, t.life, false
}

// stand is how long a kind that fell has to answer before it is believed.
func (t *track) stand(k Knobs) time.Duration {
	d := k.MinUp
	for i := 1; i < t.falls && d < k.MaxUp; i++ {
		d *= 2
	}
	return min(d, k.MaxUp)
}

// unbroken is how long a node that stands up may be silent: those that others watch,
// and of those that we do what is down beside what is not, are asked once a second, or
// every rarely intervals if these are longer.
func (m *Machine) unbroken() time.Duration {
	return max(2500*time.Millisecond, rarely*m.interval*5/2)
}

// revive takes back what is down of a node, if that may be: it answers for long
// enough, and what runs on it is known.
func (m *Machine) revive(n *node) {
	for k := range kinds {
		t := &n.track[k]
		if t.down.IsZero() || t.back.IsZero() {
			continue
		}
		if m.now.Sub(t.last) > m.unbroken() {
			t.back = time.Time{} // silent again
			continue
		}
		if m.now.Sub(t.back) >= t.stand(m.knobs) && m.known(n, t) {
			t.down, t.back, t.silences = time.Time{}, time.Time{}, 0
			n.streak[k.family()], n.quiet = 0, m.now.Add(m.knobs.Quiet)
			m.touch(n.Name)
		}
	}
}
