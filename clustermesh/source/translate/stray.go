package translate

import (
	"maps"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh/source"
)

// known are the annotations of ours that mean something, by the kind of their object.
var known = map[source.Kind][]string{
	source.Service: {
		own + annotationGlobal, own + annotationShared, own + annotationAffinity, own + annotationPriority, own + annotationWeight, own + annotationSlices,
		own + annotationOverprovisioning, own + annotationOutliers,
		annotationAddresses[0], annotationSharingKey[0], annotationSharingNamespaces[0],
	},
	source.Node:      nil,
	source.Namespace: nil,
}

// Strays returns what an object says under our domain that means nothing: annotations
// that nobody reads, and labels that have the name of an annotation. They do no harm,
// but whoever wrote them expects something. Annotations of Cilium that we do not read
// may be for Cilium.
func Strays(kind source.Kind, annotations, labels map[string]string) []*FieldError {
	keys, looked := known[kind]
	if _, derived := labels[DerivedLabel]; derived || !looked {
		return nil // what is derived, we wrote
	}
	var out []*FieldError
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, own) && !slices.Contains(keys, key) {
			out = append(out, &FieldError{[]string{"metadata", "annotations", key}, meant(kind, key)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if slices.Contains(known[source.Service], key) {
			out = append(out, &FieldError{[]string{"metadata", "labels", key}, "means nothing as a label: it is an annotation of a Service"})
		}
	}
	return out
}

// meant says what a key that nobody knows was meant to be.
func meant(kind source.Kind, key string) string {
	keys := known[kind]
	if len(keys) == 0 {
		return "means nothing on a " + string(kind) + ", which has no annotations of ours"
	}
	nearest := slices.MinFunc(keys, func(a, b string) int { return edits(a, key) - edits(b, key) })
	text := "is not known; "
	if edits(nearest, key) <= max(2, (len(key)-len(own))/3) {
		text += nearest + " was meant? "
	}
	return text + "those of a " + string(kind) + " are " + strings.Join(slices.Sorted(slices.Values(keys)), ", ")
}

// edits returns how many letters have to be put in, taken out or changed to make one
// word of another (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := left
			if a[i] != b[j] {
				change++
			}
			left, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
