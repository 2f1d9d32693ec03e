// Package meshpb is the wire form of the nouns of package clustermesh,
// generated from clustermesh.proto. Only clustermesh imports it: its codec
// checks every value on the way in and out.
package meshpb
