// Package minify takes comments, white space and long names out of the scripts
// that participants download.
package minify

import (
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"
)

// File is a module of this project's, minified. Names that it exports, and those
// of properties, stay.
func File(name string) ([]byte, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	result := api.Transform(string(source), api.TransformOptions{
		Sourcefile: name, Loader: api.LoaderJS, Format: api.FormatDefault, Target: api.ES2022, Charset: api.CharsetUTF8,
		MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
	})
	for _, m := range result.Errors {
		return nil, fmt.Errorf("%s: %s", name, m.Text)
	}
	return result.Code, nil
}

// eager tells V8 that most functions of a file are called at once. It need not
// read them twice then: quickly to find their end, and when they are called.
const eager = "//# allFunctionsCalledOnLoad"

// Bundle is a module with all that it imports, so that a browser need not ask
// again and again. What is in a folder of its own, or loaded later, stays apart.
func Bundle(name string) ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{name}, Bundle: true, Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8,
		External:         []string{"./pyodide/*", "./remote.js", "../vendor/*"},
		MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
		Banner: map[string]string{"js": eager},
	})
	for _, m := range result.Errors {
		return nil, fmt.Errorf("%s: %s", name, m.Text)
	}
	return result.OutputFiles[0].Contents, nil
}
