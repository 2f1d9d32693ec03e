package v1alpha1

import (
	"fmt"
	"regexp"
	"time"
)

// Seconds is a time of whole seconds, as it is written: "90s", "1m30s", "2h".
//
// +kubebuilder:validation:MaxLength=18
type Seconds string

// written is the form that the rules of the fields ask for, too.
var written = regexp.MustCompile(`^([0-9]{1,5}[hms]){1,3}$`)

// Duration returns the time, and an error when it is not in the form.
func (s Seconds) Duration() (time.Duration, error) {
	d, err := time.ParseDuration(string(s))
	if err != nil || !written.MatchString(string(s)) {
		return 0, fmt.Errorf("%q is not a time of whole seconds, such as 9s or 1m30s", s)
	}
	return d, nil
}
