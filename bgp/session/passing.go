package session

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// toServer passes on what the router sends.
func (f *flow) toServer() error {
	w := bufio.NewWriterSize(f.server, bufferSize)
	for {
		if !buffered(f.in) {
			if err := w.Flush(); err != nil {
				return errServerGone
			}
		}
		m, err := read(f.in)
		if n := (*Notification)(nil); errors.As(err, &n) {
			return refuse(n, "peer sends what is no BGP: "+n.Error())
		}
		if err != nil {
			return err
		}
		f.tally.received.add(m, time.Now())
		pass, err := f.examine(m)
		if err != nil {
			return err
		}
		for _, m := range pass {
			if _, err := w.Write(m); err != nil {
				return errServerGone
			}
		}
	}
}

// examine returns what GoBGP gets in a message's place.
func (f *flow) examine(m message) ([]message, error) {
	switch m.kind() {
	case typeNotification:
		n := parseNotification(m)
		return nil, &ended{reason: "the router ended the session: " + n.Error(), received: n}
	case typeKeepalive:
		f.advance(&f.progress.received)
	default:
		if state := f.state(); state != 3 || m.kind() == typeOpen {
			return nil, refuse(&Notification{Code: codeFSM, Subcode: state},
				fmt.Sprintf("peer sent a message of type %d too early or twice", m.kind()))
		}
	}
	v := f.terms.check(m)
	if v.end != nil {
		return nil, refuse(v.end, "peer sent a message that cannot be contained: "+v.end.Error())
	}
	f.tally.discarded.Add(uint64(v.discarded))
	if v.withdrawn != "" && f.tally.withdrawn.Add(1) == 1 {
		f.report(contained{f, v.withdrawn})
	}
	if f.conf.Deaf {
		return withoutRoutes(v.forward), nil
	}
	return v.forward, nil
}

// withoutRoutes returns messages without the UPDATEs that carry routes. A
// KEEPALIVE in their place holds GoBGP's timer off, as they would have (RFC 4271
// 4.4).
func withoutRoutes(all []message) []message {
	out := slices.DeleteFunc(slices.Clone(all), func(m message) bool {
		_, end := endOf(m)
		return m.kind() == typeUpdate && !end
	})
	if len(out) < len(all) {
		out = append(out, keepalive())
	}
	return out
}

// toRouter passes on what GoBGP sends, packed.
func (f *flow) toRouter() error {
	out := &outgoing{flow: f, w: bufio.NewWriterSize(f.router, bufferSize), open: maps.Clone(f.terms.families)}
	for {
		if !buffered(f.fromServer) {
			if err := out.flush(); err != nil {
				return err
			}
		}
		m, err := read(f.fromServer)
		if err != nil {
			return errors.Join(errServerGone, out.flush())
		}
		if m.kind() == typeNotification {
			n := parseNotification(m)
			return errors.Join(&ended{reason: "we ended the session: " + n.Error(), sent: n}, out.flush())
		}
		if err := out.take(m); err != nil {
			return err
		}
	}
}

// outgoing is what toRouter has read but not sent yet.
type outgoing struct {
	*flow
	w    *bufio.Writer
	pack packer
	open map[Family]bool // families whose end was not sent yet
}

func (o *outgoing) take(m message) error {
	if o.terms.sendsIDs {
		return o.write(m)
	}
	return o.write(o.pack.add(m)...)
}

func (o *outgoing) flush() error {
	if err := o.write(o.pack.flush()...); err != nil {
		return err
	}
	return o.w.Flush()
}

func (o *outgoing) write(all ...message) error {
	for _, m := range all {
		if _, err := o.w.Write(m); err != nil {
			return err
		}
		o.tally.sent.add(m, time.Now())
		if m.kind() == typeKeepalive {
			o.advance(&o.progress.sent)
		}
		if family, ok := endOf(m); ok {
			if delete(o.open, family); len(o.open) == 0 {
				o.report(complete{o.flow})
			}
		}
	}
	return nil
}

// errServerGone says that GoBGP closed its side.
var errServerGone = errors.New("GoBGP closed its side")

// advance notes a KEEPALIVE; the session is established when one went each way.
func (f *flow) advance(direction *bool) {
	f.progress.Lock()
	*direction = true
	up := f.progress.received && f.progress.sent && !f.progress.up
	f.progress.up = f.progress.up || up
	f.progress.Unlock()
	if up {
		f.report(established{f})
	}
}

// state returns the state of RFC 4271 as RFC 6608 numbers it: OpenConfirm is 2,
// Established 3. The router may speak as soon as it has said KEEPALIVE.
func (f *flow) state() uint8 {
	f.progress.Lock()
	defer f.progress.Unlock()
	if f.progress.received {
		return 3
	}
	return 2
}
