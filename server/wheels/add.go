package wheels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxSize of a package. The largest in Pyodide's own lock file has 60 MB.
	maxSize = 1 << 30
	// answerTimeout is how long a server may take to begin its answer, and
	// readTimeout how long the whole of it.
	answerTimeout = 30 * time.Second
	readTimeout   = 15 * time.Minute
)

// ErrHash says that a package is not the one that the lock file means.
var ErrHash = errors.New("its SHA-256 is not the one in the lock file")

// Adder adds packages to a folder.
type Adder struct {
	// Dir is the folder. Its lock file is written last.
	Dir string
	// Lock is the folder's own or, before the first time, Pyodide's.
	Lock *Lock
	// From is the folder that packages are downloaded from.
	From *url.URL
	// Progress is told of each package: how much of it has arrived, of how
	// many bytes (-1: not known), and at the end that it is there.
	Progress func(p *Package, bytes, total int64, done bool)
}

// Add adds packages, by name or as paths of wheels, and what they need. What
// is there already and right is kept.
func (a *Adder) Add(ctx context.Context, what ...string) error {
	if err := os.MkdirAll(a.Dir, 0o777); err != nil {
		return err
	}
	own := make(map[string]string) // files by package
	var names []string
	for _, w := range what {
		if !strings.HasSuffix(w, ".whl") {
			names = append(names, w)
			continue
		}
		p, imports, err := readWheel(w)
		if err != nil {
			return err
		}
		if err := a.Lock.add(p, imports); err != nil {
			return err
		}
		own[p.Name] = w
		names = append(names, p.Name)
	}
	packages, err := a.Lock.Resolve(names...)
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := a.fetch(ctx, p, own[p.Name]); err != nil {
			return err
		}
	}
	b, err := a.Lock.Encode()
	if err != nil {
		return err
	}
	return replace(filepath.Join(a.Dir, LockName), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// fetch brings one package into the folder: a file of the lab's own, or by the
// network.
func (a *Adder) fetch(ctx context.Context, p *Package, own string) error {
	from, name, err := p.address(a.From)
	if err != nil {
		return err
	}
	file := filepath.Join(a.Dir, name)
	if sum, err := hashOf(file); err == nil && sum == p.SHA256 {
		a.tell(p, 0, 0, true)
		return nil
	}
	var source io.ReadCloser
	total := int64(-1)
	if own != "" {
		source, err = os.Open(own)
	} else {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		source, total, err = get(ctx, from)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	defer source.Close()
	err = replace(file, func(w io.Writer) error {
		h := sha256.New()
		var bytes int64
		for {
			n, err := io.CopyN(io.MultiWriter(w, h), source, 64<<10)
			bytes += n
			a.tell(p, bytes, total, false)
			switch {
			case bytes > maxSize:
				return fmt.Errorf("it is larger than %d MiB", maxSize>>20)
			case errors.Is(err, io.EOF):
				if hex.EncodeToString(h.Sum(nil)) != p.SHA256 {
					return ErrHash
				}
				return nil
			case err != nil:
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	a.tell(p, 0, 0, true)
	return nil
}

func (a *Adder) tell(p *Package, bytes, total int64, done bool) {
	if a.Progress != nil {
		a.Progress(p, bytes, total, done)
	}
}

var client = &http.Client{Transport: &http.Transport{
	Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: answerTimeout, ForceAttemptHTTP2: true,
}}

func get(ctx context.Context, from *url.URL) (io.ReadCloser, int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, 0, fmt.Errorf("%s: %s", from, res.Status)
	}
	return res.Body, res.ContentLength, nil
}

// replace writes a file whole or not at all.
func replace(file string, fill func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // there is none once it is renamed
	err = errors.Join(fill(tmp), tmp.Chmod(0o644), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

func hashOf(file string) (string, error) {
	f, err := os.Open(file)
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
