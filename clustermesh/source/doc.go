// Package source is the seam between where a cluster's objects come from and
// everything else: what a source delivers, and the rule that guards against a
// source that has lost its contents.
//
// A source – a directory of manifests, or the Kubernetes API – sends
// Updates: first the complete set of every kind, then changes. Each Change
// carries the whole of one object, already translated into the nouns of the
// mesh, so that a reader needs only to replace what it holds under that Key.
// A source that cannot read what it reads from sends nothing and says so in
// its Status; it never turns blindness into deletions.
//
// Below this package, and there alone, lie the imports of Kubernetes:
// translate turns its objects into nouns, and each source has a package.
package source
