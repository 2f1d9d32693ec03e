package loadbalancer

import "sync"

// claims are the services whose backends a reader of a frontend may see, a bit
// each: those that have wanted it since the maps last agreed with the world.
//
// A reader may be held up for as long as the world takes to change several times
// over. So it is not asked what may be seen when it begins and when it ends, but
// gathers what came to be meanwhile.
type claims struct {
	mu      sync.Mutex // readers run beside the harness
	wanted  uint64
	watches map[*uint64]struct{}
}

// widen adds services that want the frontend from now on.
func (c *claims) widen(services []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := setOf(services)
	c.wanted |= set
	for w := range c.watches {
		*w |= set
	}
}

// narrow says that the maps agree with the world, in which these want it: whoever
// begins now sees no others.
func (c *claims) narrow(services []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = setOf(services)
}

// during runs a reader and returns the services that it might see.
func (c *claims) during(read func()) uint64 {
	c.mu.Lock()
	set := c.wanted
	if c.watches == nil {
		c.watches = map[*uint64]struct{}{}
	}
	c.watches[&set] = struct{}{}
	c.mu.Unlock()
	read()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watches, &set)
	return set
}

func setOf(services []int) (set uint64) {
	for _, i := range services {
		set |= 1 << i
	}
	return set
}
