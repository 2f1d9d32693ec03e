package source

import (
	"context"
	"fmt"
	"time"
)

// Change is the new state of one object of a source.
type Change struct {
	Key Key
	// Objects are what the object means to the mesh: one noun, or several for
	// an EndpointSlice of more than clustermesh.MaxSliceEndpoints endpoints.
	// None means that the object is gone, or means nothing to the mesh.
	Objects []Object
}

// Update is a batch of changes. Objects that it does not name are as they were.
// One without changes says that there is something new in the source's Status.
type Update struct {
	Changes []Change
	// Synced names the kinds whose complete set the reader has with this
	// update; what the reader holds of them beyond that set is gone.
	Synced []Kind
	// Full is set when the changes were found by comparing everything anew and
	// not by watching: a mass of deletions in it is suspect, see Shrink.
	Full bool
	// Unknown names objects that may exist, whose state could not be read and was
	// never known, until the next update: that they are not in the set is no proof
	// that they are gone. A Key without a name stands for all objects of its kind,
	// one without a kind for all there may be.
	Unknown []Key
	// Origin names the store of which all that was delivered is, UnknownOrigin while
	// the source has one and does not know which; empty for a source without.
	Origin string
}

// UnknownOrigin is the origin that a source does not know yet.
const UnknownOrigin = "unknown"

// Source delivers the objects of a cluster.
type Source interface {
	// Run sends updates until ctx ends. It returns an error only when it
	// cannot go on; what it can try again it reports in Status.
	Run(ctx context.Context, out chan<- Update) error
	// Status returns what people should know; it may be called at any time.
	Status() Status
}

// Status is what a source says of itself. It is immutable.
type Status struct {
	// From names what is read, for people: "manifests in /etc/tombolo/manifests".
	From string `json:"from"`
	// Synced is set once the complete set was read.
	Synced bool `json:"synced"`
	// Err says why the source cannot be read at this moment; empty when it can.
	Err string `json:"err,omitempty"`
	// Since is when Err last changed.
	Since time.Time `json:"since,omitzero"`
	// Objects is the number of objects that the source has delivered, or is
	// about to, and that still exist.
	Objects int `json:"objects"`
	// Problems are the objects that could not be taken as they are written.
	Problems []Problem `json:"problems,omitempty"`
	// Remarks are what objects say that means nothing to the mesh: a slip, most likely.
	// They are taken all the same.
	Remarks []Problem `json:"remarks,omitempty"`
	// Held are objects that a list of the source lacks and that stay for now,
	// because the list is not believed.
	Held []Held `json:"held,omitempty"`
	// Skipped counts, by apiVersion and kind, objects of kinds that no source
	// delivers.
	Skipped map[string]int `json:"skipped,omitempty"`
}

// Problem is something that its owner should mend. While it lasts, what was
// known of the object before stays.
type Problem struct {
	// Place is where it was found: file:line.
	Place string `json:"place,omitempty"`
	// Object is empty when not even that could be read.
	Object string `json:"object,omitempty"`
	// Reason says what is wrong and what would be right.
	Reason string `json:"reason"`
}

// Held is a mass of deletions that a source does not believe yet.
type Held struct {
	Kind Kind `json:"kind"`
	// Missing of Of objects are not in the list. None of them are where the kind
	// could not be listed before: what there was of it is not known.
	Missing int `json:"missing"`
	Of      int `json:"of"`
	// Why says why the list is not believed, and what would be done about it.
	Why string `json:"why"`
}

// String returns "12 of 20 objects of kind Service are not in the list, and stay: …".
func (h Held) String() string {
	if h.Missing == 0 {
		return fmt.Sprintf("what is stored of kind %s from before it could be listed stays: %s", h.Kind, h.Why)
	}
	return fmt.Sprintf("%d of %d objects of kind %s are not in the list, and stay: %s", h.Missing, h.Of, h.Kind, h.Why)
}
