package translate

import (
	"fmt"
	"strconv"
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// The annotations of a Service. Those of Cilium mean the same; where both are
// set, ours holds.
const (
	own    = "tombolo.io/"
	cilium = "service.cilium.io/"

	annotationGlobal   = "global"
	annotationShared   = "shared"
	annotationAffinity = "affinity"
	annotationPriority = "priority"
	annotationWeight   = "weight"
	annotationSlices   = "global-sync-endpoint-slices"

	annotationOverprovisioning = "overprovisioning-factor"
	annotationOutliers         = "outlier-detection"
)

// defaultWeight is that of a cluster's endpoints when the service names none.
const defaultWeight = 100

// wishes are what annotations say of a service.
type wishes struct {
	global, shared bool
	affinity       clustermesh.Affinity
	priority       uint8
	weight         uint16
	// overprovisioning is in percent.
	overprovisioning uint16
	outliers         clustermesh.OutlierDetection
	// slices: the endpoints of other clusters are to be seen in the API, too.
	slices bool
}

// wishes reads the annotations of a Service, which may be headless: its clients ask DNS,
// which knows what the API has.
func (c *checker) wishes(annotations map[string]string, headless bool) wishes {
	w := wishes{shared: true, weight: defaultWeight, slices: headless}
	c.flag(annotations, annotationGlobal, &w.global)
	c.flag(annotations, annotationShared, &w.shared)
	c.flag(annotations, annotationSlices, &w.slices)
	if key, v, ok := lookup(annotations, annotationAffinity); ok {
		if strings.HasPrefix(key, cilium) {
			// Cilium turns to others only when nobody is left.
			w.overprovisioning = clustermesh.MaxOverprovisioning
		}
		switch strings.ToLower(v) {
		case "none", "":
			w.affinity = clustermesh.AffinityNone
		case "local":
			w.affinity = clustermesh.AffinityLocal
		case "remote":
			w.affinity = clustermesh.AffinityRemote
		default:
			c.annotation(key, v, "local, remote or none")
		}
	}
	if v, ok := annotations[own+annotationPriority]; ok {
		w.priority = uint8(c.number(own+annotationPriority, v, 8))
	}
	if v, ok := annotations[own+annotationWeight]; ok {
		w.weight = uint16(c.number(own+annotationWeight, v, 16))
	}
	if v, ok := annotations[own+annotationOverprovisioning]; ok {
		w.overprovisioning = c.factor(own+annotationOverprovisioning, v)
	}
	if v, ok := annotations[own+annotationOutliers]; ok {
		w.outliers = c.outliers(own+annotationOutliers, v)
	}
	return w
}

// lookup finds an annotation under our name or under Cilium's.
func lookup(annotations map[string]string, name string) (key, value string, ok bool) {
	for _, prefix := range []string{own, cilium} {
		if v, ok := annotations[prefix+name]; ok {
			return prefix + name, strings.TrimSpace(v), true
		}
	}
	return "", "", false
}

func (c *checker) flag(annotations map[string]string, name string, to *bool) {
	key, v, ok := lookup(annotations, name)
	if !ok {
		return
	}
	switch strings.ToLower(v) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		c.annotation(key, v, `"true" or "false"`)
	}
}

func (c *checker) number(key, v string, bits int) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, bits)
	if err != nil {
		c.annotation(key, v, "a whole number from 0 to "+strconv.Itoa(1<<bits-1))
	}
	return n
}

// factor reads a number with at most two decimals as a percentage.
func (c *checker) factor(key, v string) uint16 {
	const least, most = clustermesh.MinOverprovisioning, clustermesh.MaxOverprovisioning
	whole, decimals, _ := strings.Cut(strings.TrimSpace(v), ".")
	n, err := strconv.ParseUint(whole+(decimals + "00")[:2], 10, 16)
	if err != nil || len(decimals) > 2 || n < least || n > most {
		c.annotation(key, v, fmt.Sprintf("a number from %d to %d with at most two decimals", least/100, most/100))
	}
	return uint16(n)
}

func (c *checker) annotation(key, value, allowed string) {
	c.errs = append(c.errs, &FieldError{
		Path:   []string{"metadata", "annotations", key},
		Reason: strconv.Quote(value) + " is not " + allowed,
	})
}
