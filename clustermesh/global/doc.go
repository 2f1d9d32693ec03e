// Package global merges one service as every cluster exports it into the one
// service that this cluster uses.
//
// A reader of the mesh collects an Input for each service: this cluster's
// definition and endpoints, and those of every cluster that shares a service
// of the same name. Merge turns it into a Service: the addresses under which
// the service is reached here, and for each of its ports the backends behind
// them, in a primary and a backup tier. The agent makes map contents of that,
// the speaker asks ServedBy, and people are shown Parts and Conflicts.
//
// Merge is a pure function of its input: it looks at no clock, keeps nothing
// between calls and shares no memory that anybody writes. A verdict about a
// node or a cluster takes endpoints out of the maps first, by one byte; the
// Input carries it too, so that the tables which are built behind it do without
// them.
package global
