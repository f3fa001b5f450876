package static

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"initgrace/server/static/bundle"
)

// publicCDN is where Pyodide's authors publish the packages of a version.
const publicCDN = "https://cdn.jsdelivr.net/pyodide/v{version}/full/"

// PyodideVersion is the version of an unpacked Pyodide. It fails if no page
// could load it.
func PyodideVersion(fsys fs.FS) (string, error) {
	c, err := inspectPyodide(fsys)
	if err != nil {
		return "", err
	}
	return c.Version, nil
}

const lockName = "pyodide-lock.json"

// addCompiled offers the embedded compiled library to the Pyodide that is
// served, if it was made from the same standard library.
func addCompiled(mux *http.ServeMux, c *PyodideConfig, folder fs.FS, embedded *packed, m *bundle.Manifest) error {
	startup, err := bundle.ReadStartup(embedded.fs, m)
	if err != nil || startup == nil || startup.Pyodide != c.Version {
		return err
	}
	if folder != nil {
		plain, err := fileHash(folder, "python_stdlib.zip")
		if err != nil || plain != startup.Plain {
			return err
		}
		at := c.IndexURL + bundle.LibraryName
		mux.Handle(at, immutable(http.StripPrefix("/", embedded)))
	}
	c.Compiled = &CompiledConfig{
		// The same Pyodide may be compiled otherwise by the next build.
		URL:    c.IndexURL + bundle.LibraryName + "?" + startup.SHA256[:16],
		SHA256: startup.SHA256, Size: startup.Size, Imports: startup.Imports,
	}
	return nil
}

func fileHash(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// addPackages tells pages where packages are. It returns the origin of the
// CDN, if there is one.
func addPackages(mux *http.ServeMux, c *PyodideConfig, o *Options) (origin string, err error) {
	if o.Packages != nil {
		at := c.IndexURL + "packages/"
		switch lock, err := lockOf(o.Packages); {
		case errors.Is(err, fs.ErrNotExist): // only files of the lock beside Pyodide
		case err != nil:
			return "", fmt.Errorf("the folder of packages: %w", err)
		case lock.Pyodide != "" && lock.Pyodide != c.Version:
			return "", fmt.Errorf("the folder of packages is for Pyodide %s, served is %s", lock.Pyodide, c.Version)
		default:
			c.LockURL = at + lockName
		}
		mux.Handle(at, http.StripPrefix(at, &plain{fs: o.Packages}))
		c.PackageURLs = append(c.PackageURLs, at)
	}
	if o.Pyodide != nil && (o.Packages != nil || o.PackageCDN != "") {
		c.PackageURLs = append(c.PackageURLs, c.IndexURL) // a whole release has them beside its core
	}
	if o.PackageCDN == "" {
		return "", nil
	}
	cdn := o.PackageCDN
	if cdn == "public" {
		cdn = publicCDN
	}
	u, err := url.Parse(strings.ReplaceAll(cdn, "{version}", c.Version))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(u.Host, " ;,'\"*") {
		return "", fmt.Errorf("the CDN of packages is not the URL of a folder: %q", o.PackageCDN)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	c.PackageURLs = append(c.PackageURLs, u.String())
	return u.Scheme + "://" + u.Host, nil
}

// lock is what matters here of a lock file.
type lock struct {
	// Pyodide is the version of Pyodide, if `initgrace pyodide add` wrote the file.
	Pyodide string `json:"pyodide"`
}

func lockOf(fsys fs.FS) (*lock, error) {
	b, err := fs.ReadFile(fsys, lockName)
	if err != nil {
		return nil, err
	}
	l := new(lock)
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%s: %w", lockName, err)
	}
	return l, nil
}
