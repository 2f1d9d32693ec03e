package crdtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Schema is the schema of a kind, as an API server applies it.
type Schema struct {
	Kind       string
	structural *schema.Structural
	fields     validation.SchemaValidator
	rules      *cel.Validator
}

// Schemas reads the definitions in a directory, checks them as an API server
// does before it serves a kind, and returns them by kind.
func Schemas(ctx context.Context, dir string) (map[string]*Schema, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing definitions in %s: %w", dir, err)
	}
	out := map[string]*Schema{}
	for _, path := range paths {
		s, err := read(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("reading the definition in %s: %w", path, err)
		}
		out[s.Kind] = s
	}
	return out, nil
}

func read(ctx context.Context, path string) (*Schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &v1); err != nil {
		return nil, err
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&v1)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
	// What the API server notes of the versions before it checks the object.
	v1.Status.StoredVersions = []string{v1.Spec.Versions[0].Name}
	var crd apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &crd, nil); err != nil {
		return nil, err
	}
	if errs := definitions.ValidateCustomResourceDefinition(ctx, &crd); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return newSchema(crd.Spec.Names.Kind, crd.Spec.Validation.OpenAPIV3Schema)
}

func newSchema(kind string, props *apiextensions.JSONSchemaProps) (*Schema, error) {
	structural, err := schema.NewStructural(props)
	if err != nil {
		return nil, err
	}
	fields, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return nil, err
	}
	return &Schema{kind, structural, fields, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// Admit does to an object what an API server does to one that is created, or
// changed from before: it fills defaults in, prunes fields that there are not,
// and returns every rule that is broken.
func (s *Schema) Admit(ctx context.Context, object, before map[string]any) field.ErrorList {
	var old any
	if before != nil {
		defaulting.Default(before, s.structural)
		old = before
	}
	pruning.Prune(object, s.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	defaulting.Default(object, s.structural)
	errs := validation.ValidateCustomResource(nil, object, s.fields)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if blocked(errs) {
		return errs
	}
	more, _ := s.rules.Validate(ctx, nil, s.structural, object, old, celconfig.RuntimeCELCostBudget)
	return append(errs, more...)
}

// blocked says whether errors keep an API server from trying the rules.
func blocked(errs field.ErrorList) bool {
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}
