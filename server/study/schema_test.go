package study

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The schema takes what the reader takes, refuses the mistakes that a schema
// can see, and explains every key.
func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("study.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("study.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	for _, text := range []string{full, "policy: {load_cap: 1h2m3.5s, probe_interval: off}\n", "experiments:\n  a:\n"} {
		if err := validate(text); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
	for _, m := range mistakes {
		if m.schema && validate(m.text) == nil {
			t.Errorf("%q passes the schema", m.text)
		}
	}

	var described func(path string, v any)
	described = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		properties, _ := m["properties"].(map[string]any)
		for name, p := range properties {
			if p.(map[string]any)["description"] == "" {
				t.Errorf("%s.%s is not explained", path, name)
			}
			described(path+"."+name, p)
		}
		described(path, m["items"])
		described(path, m["additionalProperties"])
	}
	var v any
	if err := json.Unmarshal(Schema(), &v); err != nil {
		t.Fatal(err)
	}
	described("", v)
}
