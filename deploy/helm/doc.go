// Package helm holds Tombolo's chart, in the folder tombolo, and the tests that
// render it through Helm's own library: what it renders for several values, what
// values it refuses, that the roles know every flag that it gives them, and that
// alerts and dashboards name metrics that there are. It is a module of its own,
// so that Tombolo does not depend on Helm and Prometheus.
package helm
