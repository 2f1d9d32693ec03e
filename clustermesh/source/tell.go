package source

import "tombolo.io/tombolo/clustermesh/standing"

// Teller is a Source whose objects can be told how they stand, where their
// owners see it.
type Teller interface {
	// Tell takes how all objects of the store stand, from the API server that
	// leads. It never blocks.
	Tell([]standing.Object)
}
