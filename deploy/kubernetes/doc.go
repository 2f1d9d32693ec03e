// Package kubernetes holds the manifests that install Tombolo without Helm, which
// the chart renders. Its test has a real Kubernetes API take them and what the
// chart renders for other values.
package kubernetes
