package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `
spec:
  group: example.com
  names: {kind: Cart, plural: carts, shortNames: [c]}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: Cart is what one pushes.
        x-kubernetes-validations: [{message: the name must be short}]
        properties:
          spec:
            description: CartSpec says of what kind it is.
            type: object
            required: [wheels]
            x-kubernetes-validations: [{message: "must be even", fieldPath: .wheels}]
            properties:
              wheels: {type: integer, minimum: 2, maximum: 8, default: 4, description: "Wheels are\nround."}
              colour: {type: string, enum: [red, blue]}
              names: {type: array, x-kubernetes-list-type: set, maxItems: 3, items: {type: string, maxLength: 9, x-kubernetes-validations: [{message: must be a | name.}]}}
              picks: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}, maxProperties: 5}, matchExpressions: {type: array, items: {type: object, properties: {key: {type: string}}}}}}
          status:
            description: Status is what became of it.
            properties:
              conditions: {type: array, x-kubernetes-list-type: map, items: {type: object, properties: {type: {type: string}}}}
`

const wanted = `
## Cart

Cart is what one pushes.

BTapiVersion: example.com/v1BT; BTkubectl get cartsBT, or BTcBT.

The name must be short.

### Cart.spec

CartSpec says of what kind it is.

| field | type | |
|---|---|---|
| **BTwheelsBT** | integer (2 to 8) | Wheels are round. Default: BT4BT. |
| BTcolourBT | BTredBT, BTblueBT |  |
| BTnamesBT | list (at most 3, each once) of string (at most 9) |  Must be a \| name. |
| BTpicksBT | [selector](#selector) |  |

BTwheelsBT must be even.

### Cart.status

Status is what became of it.

| field | type | |
|---|---|---|
| BTconditionsBT | conditions |  |

## Selector

All parts must hold; a selector without parts picks everything.

| field | type | |
|---|---|---|
| BTmatchExpressionsBT | list of object |  |
| BTmatchExpressions[].keyBT | string |  |
| BTmatchLabelsBT | map (at most 5) to string |  |
`

func TestPage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cart.yaml"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := page(kinds), top+strings.ReplaceAll(wanted, "BT", "`"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReadSaysWhatIsMissing(t *testing.T) {
	if _, err := read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("an empty directory: %v", err)
	}
}

// The page that is kept is the one that the definitions make.
func TestPageIsUpToDate(t *testing.T) {
	kinds, err := read("../../deploy/crds")
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if page(kinds) != string(kept) {
		t.Error("docs/api.md is not what deploy/crds makes: run make generate")
	}
}
