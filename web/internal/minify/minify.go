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
