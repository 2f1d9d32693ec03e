package balancer

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// How statuses are written. An API that is slow gets as many requests as it answers.
const (
	// atOnce is how many requests are under way.
	atOnce = 16
	// patience bounds one.
	patience = 15 * time.Second
	// enough failures in a row are more than those of single services. An API that does
	// not answer is then asked once a pause. One that answers no is asked on, one service
	// after the other: about those that it did not refuse yet after a gap, so that nobody
	// waits long behind however many it refuses, about the others after a pause.
	enough = 3
	pause  = 5 * time.Second
	gap    = 50 * time.Millisecond
)

// pace says which service may be written next, and when.
type pace struct {
	// fresh are due, and the API did not refuse them as they are; again are those that
	// it did. queued says which of the two a service is in: its place in the other one is
	// void. None is in line twice, for the watch goes on while the API refuses.
	fresh, again []clustermesh.ServiceName
	queued       map[clustermesh.ServiceName]*[]clustermesh.ServiceName
	// refused are those that the API answered no to, since they changed last.
	refused map[clustermesh.ServiceName]struct{}
	// silences counts the requests in a row without an answer, refusals those that were
	// refused; at is when the last of them ended.
	silences, refusals int
	at                 time.Time
	// retries are those of again that are under way.
	retries map[clustermesh.ServiceName]struct{}
}

func newPace() *pace {
	return &pace{queued: map[clustermesh.ServiceName]*[]clustermesh.ServiceName{}, refused: map[clustermesh.ServiceName]struct{}{}, retries: map[clustermesh.ServiceName]struct{}{}}
}

// due puts a service in line.
func (p *pace) due(name clustermesh.ServiceName) {
	line := &p.fresh
	if _, no := p.refused[name]; no {
		line = &p.again
	}
	if in := p.queued[name]; in == nil || in == &p.again && line == &p.fresh {
		p.queued[name] = line
		*line = append(*line, name)
	}
}

// tidy takes void places out of the heads of the lines.
func (p *pace) tidy() {
	for _, line := range []*[]clustermesh.ServiceName{&p.fresh, &p.again} {
		for len(*line) > 0 && p.queued[(*line)[0]] != line {
			*line = (*line)[1:]
		}
	}
}

// next takes a service out of the line that may be written while so many are under
// way; false when none may.
func (p *pace) next(now time.Time, busy int) (name clustermesh.ServiceName, ok bool) {
	most, fresh, again := atOnce, now, now
	switch {
	case p.silences >= enough:
		most, fresh, again = 1, p.at.Add(pause), p.at.Add(pause)
	case p.refusals >= enough:
		most, fresh, again = 1, p.at.Add(gap), p.at.Add(pause)
	}
	p.tidy()
	line := &p.fresh
	switch {
	case busy >= most:
		return name, false
	case len(p.fresh) > 0 && !now.Before(fresh):
	case len(p.again) > 0 && !now.Before(again) && len(p.retries) == 0:
		line = &p.again
	default:
		return name, false
	}
	name, *line = (*line)[0], (*line)[1:]
	delete(p.queued, name)
	if line == &p.again {
		p.retries[name] = struct{}{}
	}
	return name, true
}

// idle takes in that a service that next named needs no write.
func (p *pace) idle(name clustermesh.ServiceName) {
	delete(p.retries, name)
	delete(p.refused, name)
}

// wait returns when the next service in line may be written while none is under way,
// false when that hangs on no time.
func (p *pace) wait() (at time.Time, ok bool) {
	p.tidy()
	switch {
	case len(p.fresh)+len(p.again) == 0 || p.silences < enough && p.refusals < enough:
		return at, false
	case p.silences < enough && len(p.fresh) > 0:
		return p.at.Add(gap), true
	}
	return p.at.Add(pause), true
}

// changed takes in that a service is another one than was refused.
func (p *pace) changed(name clustermesh.ServiceName) { delete(p.refused, name) }

// ended takes in how a write went: err is nil where the service was written or is not
// there any more. It returns the services that are worth another try, because the API
// takes by now what it refused.
func (p *pace) ended(name clustermesh.ServiceName, err error, now time.Time) (worth []clustermesh.ServiceName) {
	_, again := p.retries[name]
	delete(p.retries, name)
	p.at = now
	switch {
	case err == nil:
		p.silences, p.refusals = 0, 0
		delete(p.refused, name)
		if again {
			for name := range p.refused {
				worth = append(worth, name)
			}
			clear(p.refused)
		}
	case answered(err):
		p.silences, p.refusals = 0, p.refusals+1
		p.refused[name] = struct{}{}
	default:
		p.silences++
	}
	return worth
}
