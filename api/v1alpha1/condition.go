package v1alpha1

// Types of conditions.
const (
	// Accepted says whether the object means something as it is written. While
	// it is false, what was known of the object before holds.
	Accepted = "Accepted"
	// Ready says whether the object does what it is for.
	Ready = "Ready"
	// Conflicted says whether other objects contradict this one.
	Conflicted = "Conflicted"
)
