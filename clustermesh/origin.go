package clustermesh

// Origin names the store of the Kubernetes API of which a cluster's objects are:
// an API server that starts anew compares it with the one that answers now, so that
// what another store lacks is not taken to be gone. It lies under private/origin.
type Origin struct {
	// UID is that of the namespace kube-system, which every store has of its own.
	UID string
}

// maxUID bounds a UID; Kubernetes makes them of 36 characters.
const maxUID = 128

func (o *Origin) check(c *checker) {
	if o.UID == "" || len(o.UID) > maxUID {
		c.fail("uid", o.UID, "must have 1 to %d characters", maxUID)
	}
}
