package wheels

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// requirement is a Requires-Dist: the name, and the marker behind a semicolon.
var requirement = regexp.MustCompile(`^\s*([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;(.*))?$`)

// readWheel reads a pure-Python wheel.
func readWheel(file string) (p *Package, imports []string, err error) {
	base := filepath.Base(file)
	parts := strings.Split(strings.TrimSuffix(base, ".whl"), "-")
	if !strings.HasSuffix(base, ".whl") || len(parts) < 5 {
		return nil, nil, fmt.Errorf("%s: not the name of a wheel (name-version-python-abi-platform.whl)", base)
	}
	if platform := parts[len(parts)-1]; platform != "any" && !strings.Contains(platform, "wasm32") {
		return nil, nil, fmt.Errorf("%s is made for %s, not for Pyodide", base, platform)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return nil, nil, err
	}
	p = &Package{Name: canonical(parts[0]), Version: parts[1], File: base, SHA256: hex.EncodeToString(h.Sum(nil)), Depends: []string{}}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", base, err)
	}
	metadata := false
	for _, e := range z.File {
		top, rest, nested := strings.Cut(e.Name, "/")
		switch {
		case strings.HasSuffix(top, ".dist-info") && rest == "METADATA":
			metadata = true
			if p.Depends, err = dependencies(e); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", base, err)
			}
		case strings.HasSuffix(top, ".dist-info") || strings.HasSuffix(top, ".data"):
		case nested && path.Ext(e.Name) == ".py":
			imports = append(imports, top)
		case !nested && path.Ext(top) == ".py":
			imports = append(imports, strings.TrimSuffix(top, ".py"))
		}
	}
	if !metadata {
		return nil, nil, fmt.Errorf("%s: there is no METADATA in it", base)
	}
	slices.Sort(imports)
	return p, slices.Compact(imports), nil
}

// dependencies are the requirements without a marker: extras are not asked
// for, and other markers (an old Python, another system) hardly ever hold.
func dependencies(e *zip.File) ([]string, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := []string{}
	for s := bufio.NewScanner(io.LimitReader(r, 1<<20)); s.Scan() && s.Text() != ""; {
		value, ok := strings.CutPrefix(s.Text(), "Requires-Dist:")
		if m := requirement.FindStringSubmatch(value); ok && m != nil && strings.TrimSpace(m[2]) == "" {
			out = append(out, canonical(m[1]))
		}
	}
	return out, nil
}
