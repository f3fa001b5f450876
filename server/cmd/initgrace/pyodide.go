package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"initgrace/server/static"
	"initgrace/server/static/bundle"
	"initgrace/server/wheels"
	"initgrace/web"
)

type pyodide struct {
	Add pyodideAdd `cmd:"" help:"Fill a folder with packages, for pages in a lab without internet. Packages are named as on PyPI and come, with all they need, from Pyodide's own release, checked against its lock file; wheels of your own are given as files."`
}

type pyodideAdd struct {
	What     []string `arg:"" name:"package" help:"Name of a package, or file of a pure-Python wheel."`
	Packages string   `default:"packages" placeholder:"DIR" help:"Folder to fill; give the same to serve --packages (default: packages)."`
	Pyodide  string   `placeholder:"DIR" help:"Folder of the npm package pyodide that is served (default: the embedded one)."`
	From     string   `default:"https://cdn.jsdelivr.net/pyodide/v{version}/full/" placeholder:"URL" help:"Folder to download from; {version} stands for Pyodide's (default: Pyodide's own CDN)."`
}

func (a pyodideAdd) Run(ctx context.Context, c console) error {
	version, plain, err := pyodideLock(a.Pyodide)
	if err != nil {
		return err
	}
	lock, err := wheels.ReadLock(plain)
	if err != nil {
		return err
	}
	lock.Pyodide = version
	own, err := os.ReadFile(filepath.Join(a.Packages, wheels.LockName))
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first time
	case err != nil:
		return fmt.Errorf("--packages: %w", err)
	default:
		if lock, err = wheels.ReadLock(own); err != nil {
			return fmt.Errorf("--packages: %w", err)
		}
		if lock.Pyodide != version {
			return fmt.Errorf("--packages: %s is for Pyodide %s, not %s: take another folder", a.Packages, lock.Pyodide, version)
		}
	}
	from, err := url.Parse(strings.TrimSuffix(strings.ReplaceAll(a.From, "{version}", version), "/") + "/")
	if err != nil || from.Scheme != "https" && from.Scheme != "http" || from.Host == "" {
		return fmt.Errorf("--from: %q is not the URL of a folder", a.From)
	}
	bar := &progressBar{out: c.stderr, terminal: isTerminal(c.stderr)}
	adder := &wheels.Adder{Dir: a.Packages, Lock: lock, From: from, Progress: bar.show}
	err = adder.Add(ctx, a.What...)
	bar.clear()
	if errors.Is(err, wheels.ErrUnknown) {
		for _, name := range a.What {
			if near := lock.Near(name); len(near) > 0 && strings.HasPrefix(err.Error(), name+":") {
				return fmt.Errorf("%w (there is %s)", err, strings.Join(near, ", "))
			}
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%d packages are in %s: initgrace serve --packages %[2]s\n", bar.done, a.Packages)
	return nil
}

// pyodideLock is the lock file of a Pyodide, and its version.
func pyodideLock(dir string) (version string, lock []byte, err error) {
	if dir != "" {
		files, err := folder("--pyodide", dir)
		if err != nil {
			return "", nil, err
		}
		version, err := static.PyodideVersion(files)
		if err != nil {
			return "", nil, fmt.Errorf("--pyodide: %w", err)
		}
		lock, err = fs.ReadFile(files, wheels.LockName)
		return version, lock, err
	}
	dist := web.Dist()
	m, err := bundle.Read(dist)
	if err != nil {
		return "", nil, err
	}
	name := path.Join("pyodide", m.Pyodide, wheels.LockName)
	lock, err = bundle.ReadFile(dist, name, m.Files[name])
	return m.Pyodide, lock, err
}

// progressBar shows how far downloads are: a moving line on a terminal, a line
// for each package elsewhere.
type progressBar struct {
	out      io.Writer
	terminal bool
	done     int
	width    int // of the line on the terminal
}

func (b *progressBar) show(p *wheels.Package, bytes, total int64, done bool) {
	switch {
	case done:
		b.done++
		b.clear()
		fmt.Fprintf(b.out, "%s %s\n", p.Name, p.Version)
	case !b.terminal:
	case total > 0:
		const cells = 30
		filled := int(cells * bytes / total)
		b.line(fmt.Sprintf("%s [%s%s] %3d %%", p.Name, strings.Repeat("#", filled), strings.Repeat(".", cells-filled), 100*bytes/total))
	default:
		b.line(fmt.Sprintf("%s %.1f MB", p.Name, float64(bytes)/1e6))
	}
}

func (b *progressBar) line(text string) {
	fmt.Fprintf(b.out, "\r%-*s", b.width, text)
	b.width = len(text)
}

func (b *progressBar) clear() {
	if b.width > 0 {
		fmt.Fprintf(b.out, "\r%*s\r", b.width, "")
		b.width = 0
	}
}
