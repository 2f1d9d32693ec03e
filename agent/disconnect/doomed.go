package disconnect

import (
	"slices"

	"tombolo.io/tombolo/bpf"
)

// doomed returns the sockets to destroy, as the maps are now; with an error those
// that could be read.
func doomed(d *bpf.Datapath) ([]bpf.Socket, error) {
	var out []bpf.Socket
	served := map[uint32]bool{} // services, by whether another backend is up
	sockets, err := d.Sockets.All()
	for s := range sockets {
		b, ok := d.Backends.Of(s)
		if !ok {
			continue
		}
		if b.State == bpf.Ended {
			out = append(out, s)
			continue
		}
		if !d.Down(b) {
			continue
		}
		other, known := served[b.Service]
		if !known {
			other = serves(d, b.Service)
			served[b.Service] = other
		}
		if other {
			out = append(out, s)
		}
	}
	return out, err
}

// serves reports whether a service's tables, before they are built anew or after,
// hold a backend to which a new connection would be led.
func serves(d *bpf.Datapath, service uint32) bool {
	entry := d.Services.Read(service)
	for _, at := range []bpf.Extent{entry.Primary, entry.Backup} {
		numbers := slices.Clone(d.Slots.Read(at))
		slices.Sort(numbers)
		for _, n := range slices.Compact(numbers) {
			if n == 0 || n >= d.Backends.Len() {
				continue
			}
			// The tables may be others' by now: whose a backend is, it says itself.
			if b := d.Backends.Read(n); b.Service == service && b.State == bpf.Active && !d.Down(b) {
				return true
			}
		}
	}
	return false
}
