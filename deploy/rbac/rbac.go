// Package rbac holds what Tombolo may do in the Kubernetes API, for programs that
// install it.
package rbac

import _ "embed"

//go:embed apiserver.yaml
var apiserver []byte

// APIServer returns the role of the API server and its binding.
func APIServer() []byte { return apiserver }
