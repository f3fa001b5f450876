package study

import (
	"encoding/json"
	"reflect"
	"strconv"
)

// Schema is the JSON Schema of a study file, for editors: completion, and what
// every key means. It is made from the types that read the file.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "initgrace study file"
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		panic(err) // maps and strings
	}
	return append(text, '\n')
}

type schema map[string]any

const namePattern = `^[A-Za-z0-9._:@-]{1,128}$`

// A duration as time.ParseDuration takes it, or off.
const spanPattern = `^(off|\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*)$`

func schemaOf(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[Span]():
		return schema{"type": "string", "pattern": spanPattern}
	case reflect.TypeFor[Count]():
		return schema{"oneOf": []schema{{"type": "integer", "minimum": 1}, {"enum": []any{"off", -1}}}}
	case reflect.TypeFor[Action]():
		return schema{"enum": actions}
	}
	switch t.Kind() {
	case reflect.Struct:
		properties := schema{}
		for f := range t.Fields() {
			p := schemaOf(f.Type)
			p["description"] = f.Tag.Get("doc")
			for tag, keyword := range map[string]string{"min": "minimum", "max": "maximum"} {
				if n, err := strconv.Atoi(f.Tag.Get(tag)); err == nil {
					p[keyword] = n
				}
			}
			properties[f.Tag.Get("yaml")] = p
		}
		return schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	case reflect.Map:
		return schema{"type": []string{"object", "null"}, "propertyNames": schema{"pattern": namePattern}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return schema{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer"}
	case reflect.Uint64:
		return schema{"type": "integer", "minimum": 0}
	}
	return schema{"type": "string"}
}
