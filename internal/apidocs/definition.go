package main

import (
	"encoding/json"
	"slices"
)

// definition is a CustomResourceDefinition, as far as the page tells it.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind       string   `json:"kind"`
			Plural     string   `json:"plural"`
			ShortNames []string `json:"shortNames"`
			Categories []string `json:"categories"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				Schema schema `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// schema is the schema of a field.
type schema struct {
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Items       *schema           `json:"items"`
	Values      *schema           `json:"additionalProperties"`
	Default     json.RawMessage   `json:"default"`
	Enum        []any             `json:"enum"`
	Minimum     *json.Number      `json:"minimum"`
	Maximum     *json.Number      `json:"maximum"`
	MinItems    *int              `json:"minItems"`
	MaxItems    *int              `json:"maxItems"`
	MaxKeys     *int              `json:"maxProperties"`
	MaxLength   *int              `json:"maxLength"`
	ListType    string            `json:"x-kubernetes-list-type"`
	Rules       []rule            `json:"x-kubernetes-validations"`
}

// rule is what a field must be beside its type.
type rule struct {
	Message   string `json:"message"`
	FieldPath string `json:"fieldPath"`
}

// conditions says whether the schema is that of the standard conditions.
func (s schema) conditions() bool { return s.ListType == "map" }

// selector says whether the schema is that of a selector, which the page tells
// once.
func (s schema) selector() bool {
	_, labels := s.Properties["matchLabels"]
	_, expressions := s.Properties["matchExpressions"]
	return labels && expressions
}

// names returns the names of the properties, those that must be given first.
func (s schema) names() []string {
	var out []string
	for name := range s.Properties {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		if x, y := s.requires(a), s.requires(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		if a < b {
			return -1
		}
		return 1
	})
	return out
}

func (s schema) requires(name string) bool { return slices.Contains(s.Required, name) }
