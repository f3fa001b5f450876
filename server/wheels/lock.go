// Package wheels fills a folder with packages for Pyodide, for labs without
// internet: what a lock file names, with what it depends on, checked against
// the lock file's hashes, and pure-Python wheels of the lab's own.
package wheels

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// LockName is what the lock file is called.
const LockName = "pyodide-lock.json"

// ErrUnknown says that the lock file does not know a package.
var ErrUnknown = errors.New("not in the lock file of this Pyodide")

// Lock is Pyodide's lock file: which packages there are for one version of it.
type Lock struct {
	// Pyodide is the version, unless the file comes from Pyodide itself.
	Pyodide string
	fields  map[string]json.RawMessage // all, as they are
	// packages by canonical name
	packages map[string]*Package
}

// Package is an entry of a lock file.
type Package struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	File    string   `json:"file_name"`
	SHA256  string   `json:"sha256"` // in hex
	Depends []string `json:"depends"`

	raw json.RawMessage
}

// ReadLock reads a lock file.
func ReadLock(b []byte) (*Lock, error) {
	l := &Lock{packages: make(map[string]*Package)}
	var packages map[string]json.RawMessage
	if err := json.Unmarshal(b, &l.fields); err != nil {
		return nil, fmt.Errorf("%s: %w", LockName, err)
	}
	if v, ok := l.fields["pyodide"]; ok {
		if err := json.Unmarshal(v, &l.Pyodide); err != nil {
			return nil, fmt.Errorf("%s: pyodide: %w", LockName, err)
		}
	}
	if err := json.Unmarshal(l.fields["packages"], &packages); err != nil {
		return nil, fmt.Errorf("%s: packages: %w", LockName, err)
	}
	for key, raw := range packages {
		p := &Package{raw: raw}
		if err := json.Unmarshal(raw, p); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", LockName, key, err)
		}
		l.packages[canonical(p.Name)] = p
	}
	return l, nil
}

// Encode writes the lock file.
func (l *Lock) Encode() ([]byte, error) {
	packages := make(map[string]json.RawMessage)
	for name, p := range l.packages {
		packages[name] = p.raw
	}
	fields := make(map[string]any)
	for name, raw := range l.fields {
		fields[name] = raw
	}
	fields["packages"], fields["pyodide"] = packages, l.Pyodide
	b, err := json.MarshalIndent(fields, "", " ")
	return append(b, '\n'), err
}

// add puts an entry in, in place of one of the same name.
func (l *Lock) add(p *Package, imports []string) error {
	var err error
	p.raw, err = json.Marshal(map[string]any{
		"name": p.Name, "version": p.Version, "file_name": p.File, "sha256": p.SHA256, "depends": p.Depends,
		"imports": imports, "install_dir": "site", "package_type": "package", "unvendored_tests": false,
	})
	l.packages[canonical(p.Name)] = p
	return err
}

// Resolve returns packages and all that they depend on, each after what it
// needs. It fails with ErrUnknown.
func (l *Lock) Resolve(names ...string) ([]*Package, error) {
	var out []*Package
	seen := make(map[string]bool)
	var visit func(name, from string) error
	visit = func(name, from string) error {
		key := canonical(name)
		if seen[key] {
			return nil
		}
		seen[key] = true
		p := l.packages[key]
		if p == nil {
			return fmt.Errorf("%s%s: %w", name, from, ErrUnknown)
		}
		for _, d := range p.Depends {
			if err := visit(d, ", which "+p.Name+" needs"); err != nil {
				return err
			}
		}
		out = append(out, p)
		return nil
	}
	for _, name := range names {
		if err := visit(name, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Near are names like one that is unknown, for the error message.
func (l *Lock) Near(name string) []string {
	var near []string
	for key := range l.packages {
		if strings.Contains(key, canonical(name)) || strings.Contains(canonical(name), key) {
			near = append(near, key)
		}
	}
	slices.Sort(near)
	return near[:min(len(near), 5)]
}

// address is where a package is downloaded from, and what it is called here.
func (p *Package) address(base *url.URL) (*url.URL, string, error) {
	u, err := base.Parse(p.File)
	if err != nil {
		return nil, "", fmt.Errorf("%s: file_name: %w", p.Name, err)
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		return nil, "", fmt.Errorf("%s: file_name %q is not a file's", p.Name, p.File)
	}
	return u, name, nil
}

var separators = regexp.MustCompile(`[-_.]+`)

// canonical is a package's name as the index compares it (PEP 503).
func canonical(name string) string { return separators.ReplaceAllString(strings.ToLower(name), "-") }
