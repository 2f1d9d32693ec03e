package translate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// The settings of the annotation outlier-detection, by Envoy's names.
const (
	consecutiveFailures = "consecutive_failures"
	baseEjectionTime    = "base_ejection_time"
	maxEjectionTime     = "max_ejection_time"
	maxEjectionPercent  = "max_ejection_percent"
)

// outliers reads "true", "false", or settings, such as
//
//	consecutive_failures=5, base_ejection_time=10s
//
// of which those that are not named have their defaults. A maximum that is not
// named gives way to a longer base_ejection_time.
func (c *checker) outliers(key, v string) (out clustermesh.OutlierDetection) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true":
		return clustermesh.DefaultOutlierDetection()
	case "false":
		return out
	}
	before := len(c.errs)
	out = clustermesh.DefaultOutlierDetection()
	seen := map[string]bool{}
	for item := range strings.SplitSeq(v, ",") {
		name, value, _ := strings.Cut(item, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if wrong, allowed := setting(&out, name, value); allowed != "" {
			c.annotation(key, wrong, allowed)
		} else if seen[name] {
			c.annotation(key, name, "to be named twice")
		}
		seen[name] = true
	}
	if !seen[maxEjectionTime] {
		out.MaxEjectionTime = max(out.MaxEjectionTime, out.BaseEjectionTime)
	}
	if len(c.errs) == before && out.MaxEjectionTime < out.BaseEjectionTime {
		c.annotation(key, maxEjectionTime+"="+out.MaxEjectionTime.String(), "as long as "+baseEjectionTime+"="+out.BaseEjectionTime.String())
	}
	return out
}

// setting reads one setting, or says what is wrong and what is allowed.
func setting(to *clustermesh.OutlierDetection, name, value string) (wrong, allowed string) {
	switch name {
	case consecutiveFailures:
		allowed = count(value, clustermesh.MaxConsecutiveFailures, &to.ConsecutiveFailures)
	case baseEjectionTime:
		allowed = ejectionTime(value, &to.BaseEjectionTime)
	case maxEjectionTime:
		allowed = ejectionTime(value, &to.MaxEjectionTime)
	case maxEjectionPercent:
		allowed = count(value, clustermesh.MaxEjectionPercent, &to.MaxEjectionPercent)
	default:
		return name, fmt.Sprintf(`"true", "false" or a list of %s, %s, %s and %s, each with =VALUE`,
			consecutiveFailures, baseEjectionTime, maxEjectionTime, maxEjectionPercent)
	}
	return name + "=" + value, allowed
}

// count reads a whole number from 1 on, or says what is allowed.
func count[T ~uint8 | ~uint16](v string, most T, to *T) (allowed string) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n < 1 || n > uint64(most) {
		return fmt.Sprintf("a whole number from 1 to %d", most)
	}
	*to = T(n)
	return ""
}

// ejectionTime reads a duration, or says what is allowed.
func ejectionTime(v string, to *time.Duration) (allowed string) {
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second || d > 24*time.Hour || d%time.Second != 0 {
		return "a duration of whole seconds from 1s to 24h"
	}
	*to = d
	return ""
}
