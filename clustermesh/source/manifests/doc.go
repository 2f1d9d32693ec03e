// Package manifests is the source that reads a directory of ordinary
// Kubernetes manifests and watches it.
//
// A file goes through split (bytes → documents), decode (a document → one
// object, or the items of a List, strictly: an unknown field is a mistake) and
// package translate (object → nouns). What the files say is held in a set,
// which knows which file an object comes from, which one holds when several
// name it, and what was delivered; it gives out the difference. Source is the
// shell: it watches the directory, reads the files that changed, and sends.
//
// Files are those named *.yaml, *.yml or *.json that do not begin with a dot,
// in the directory itself and not below it. Everything else is none of ours:
// hidden files, the temporary files of editors, a README.
//
// A mistake costs as little as possible. An object whose document is wrong
// stays as it was; when not even its name can be read, all objects that the
// file held before stay. A file that somebody has open for writing is not
// read, for half of it may be whole YAML. A directory that is missing or
// cannot be read deletes nothing. What was found by listing and not by watching
// is marked as a full pass, so that its receiver can distrust a mass of
// deletions.
package manifests
