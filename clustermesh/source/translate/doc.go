// Package translate turns Kubernetes objects into the nouns of the mesh.
//
// One function a kind, each pure: it takes one object and returns what it
// means, or every mistake in it at once (errors.Join of *FieldError, which
// Mistakes takes apart). Defaults that a Kubernetes API server would have
// filled in are filled in here too, because a manifest has not been through
// one. All sources share this package, so that an object means the same
// whether it was read from a file or from the API.
package translate
