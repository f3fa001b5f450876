package bundle

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/andybalholm/brotli"
)

const (
	// worthwhile is the part of a file that compression must save, or the
	// file is stored as it is: an archive inside an archive costs the browser
	// time and the binary space.
	worthwhile = 0.05
	// smallFile is the size in bytes up to which the best quality costs
	// little: about 6 s per MB of input.
	smallFile = 256 << 10
	// window is Brotli's, as the power of two: 4 MiB. Left to itself the
	// library takes a small one, and the big files come out 11 % bigger.
	window = 22
)

// Pack compresses files, given as path in the bundle → file on disk, into dir
// and writes the manifest. What dir holds already of the same content and
// quality is kept; what is in an older manifest but not in files is removed.
// Quality is Brotli's, 0 to 11, for files over 256 KiB; smaller ones get 11.
func Pack(dir, pyodide string, files map[string]string, quality int) (*Manifest, error) {
	old, err := Read(os.DirFS(dir))
	if err != nil {
		old = &Manifest{} // missing or damaged: pack everything
	}
	m := &Manifest{Pyodide: pyodide, Files: make(map[string]File)}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
		slot = make(chan struct{}, runtime.GOMAXPROCS(0))
	)
	for name, source := range files {
		wg.Go(func() {
			slot <- struct{}{}
			defer func() { <-slot }()
			f, err := packFile(dir, name, source, old.Files[name], quality)
			mu.Lock()
			defer mu.Unlock()
			m.Files[name] = f
			if err != nil {
				errs = append(errs, fmt.Errorf("packing %s: %w", name, err))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for name := range old.Files {
		if _, kept := m.Files[name]; !kept {
			remove(dir, name, "", BrotliSuffix, GzipSuffix)
		}
	}
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return nil, err
	}
	return m, write(filepath.Join(dir, ManifestName), append(b, '\n'))
}

func packFile(dir, name, source string, old File, quality int) (File, error) {
	if !fs.ValidPath(name) {
		return File{}, fs.ErrInvalid
	}
	raw, err := os.ReadFile(source)
	if err != nil {
		return File{}, err
	}
	if len(raw) <= smallFile {
		quality = brotli.BestCompression
	}
	sum := sha256.Sum256(raw)
	f := File{Type: Type(name), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(raw)), Quality: quality}
	if f.SHA256 == old.SHA256 && f.Type == old.Type && f.Quality == old.Quality && stored(dir, name, old) {
		return old, nil
	}
	br, gz, err := compress(raw, quality)
	if err != nil {
		return File{}, err
	}
	base := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		return File{}, err
	}
	if float64(max(len(br), len(gz))) > (1-worthwhile)*float64(len(raw)) {
		remove(dir, name, BrotliSuffix, GzipSuffix)
		return f, write(base, raw)
	}
	remove(dir, name, "")
	f.Brotli, f.Gzip = int64(len(br)), int64(len(gz))
	return f, errors.Join(write(base+BrotliSuffix, br), write(base+GzipSuffix, gz))
}

// stored reports whether what the manifest says about a file is on disk.
func stored(dir, name string, f File) bool {
	want := map[string]int64{"": f.Size}
	if f.Compressed() {
		want = map[string]int64{BrotliSuffix: f.Brotli, GzipSuffix: f.Gzip}
	}
	for suffix, size := range want {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)) + suffix)
		if err != nil || info.Size() != size {
			return false
		}
	}
	return true
}

func compress(raw []byte, quality int) (br, gz []byte, err error) {
	var b, g bytes.Buffer
	bw := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: quality, LGWin: window})
	gw, err := gzip.NewWriterLevel(&g, gzip.BestCompression)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range []io.WriteCloser{bw, gw} {
		_, err := w.Write(raw)
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, nil, err
		}
	}
	return b.Bytes(), g.Bytes(), nil
}

// write replaces a file in one step: a build that is interrupted leaves the
// older one or none, never a part.
func write(name string, b []byte) error {
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, b, 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func remove(dir, name string, suffixes ...string) {
	for _, suffix := range suffixes {
		os.Remove(filepath.Join(dir, filepath.FromSlash(name)) + suffix)
	}
}
