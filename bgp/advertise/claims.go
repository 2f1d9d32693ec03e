package advertise

import (
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// settleClaims returns the services without the frontends that an older service
// has too: agents lead those to the older one, so that the younger serves nobody
// there.
func settleClaims(services []global.Service) []global.Service {
	holder := map[global.Frontend]clustermesh.Age{}
	contested := false
	for _, s := range services {
		for _, p := range s.Ports {
			for _, f := range p.Frontends {
				age, taken := holder[f]
				if contested = contested || taken; !taken || s.Definition.Age().Compare(age) < 0 {
					holder[f] = s.Definition.Age()
				}
			}
		}
	}
	if !contested {
		return services
	}
	out := slices.Clone(services)
	for i := range out {
		out[i].Ports = slices.Clone(out[i].Ports)
		for j := range out[i].Ports {
			p := &out[i].Ports[j]
			p.Frontends = slices.DeleteFunc(slices.Clone(p.Frontends), func(f global.Frontend) bool {
				return holder[f].Name != out[i].Name
			})
		}
	}
	return out
}

// claimed reports whether a service has some port of an address left.
func claimed(s global.Service, at func(global.Frontend) bool) bool {
	return slices.ContainsFunc(s.Ports, func(p global.Port) bool { return slices.ContainsFunc(p.Frontends, at) })
}
