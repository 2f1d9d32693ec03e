package inspect

import (
	"encoding"
	"encoding/base64"
	"reflect"
	"time"
	"unicode"
)

// Plain turns an object into maps, lists, texts and numbers, as JSON and YAML
// have them: names begin in lower case, fields that are zero are left out,
// addresses, times and durations are texts, and bytes are base64, as in JSON.
func Plain(v any) any { return plain(reflect.ValueOf(v)) }

func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case encoding.TextMarshaler:
		if text, err := x.MarshalText(); err == nil {
			return string(text)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Struct:
		return fields(v)
	case reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[byte]() {
			return base64.StdEncoding.EncodeToString(v.Bytes())
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			out[k.String()] = plain(v.MapIndex(k))
		}
		return out
	}
	return v.Interface()
}

func fields(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).IsExported() && !f.IsZero() {
			out[name(v.Type().Field(i).Name)] = plain(f)
		}
	}
	return out
}

// name writes a field's name as YAML has it: podCIDRs, id, localASN, tls.
func name(s string) string {
	r := []rune(s)
	for i := range r {
		if !unicode.IsUpper(r[i]) || i > 0 && i+1 < len(r) && unicode.IsLower(r[i+1]) {
			break
		}
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}
