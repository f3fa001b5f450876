package bundle

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func writeFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// listing names the files in dir with their modification times.
func listing(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	l := make(map[string]int64)
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		l[p] = info.ModTime().UnixNano()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPack(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	text := []byte(strings.Repeat("compresses well\n", 1000))
	noise := make([]byte, 4096)
	rand.Read(noise)
	files := map[string]string{
		"a/text.js":   writeFile(t, filepath.Join(src, "text"), text),
		"b/noise.zip": writeFile(t, filepath.Join(src, "noise"), noise),
		"empty.txt":   writeFile(t, filepath.Join(src, "empty"), nil),
	}
	m, err := Pack(dst, "1.2.3", files, 9)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a/text.js.br", "a/text.js.gz", "b/noise.zip", "empty.txt", ManifestName}
	first := listing(t, dst)
	for _, name := range names {
		if _, ok := first[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if len(first) != len(names) {
		t.Errorf("stored: %v", first)
	}
	br, err := os.ReadFile(filepath.Join(dst, "a/text.js.br"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(brotli.NewReader(bytes.NewReader(br))); err != nil || !bytes.Equal(got, text) {
		t.Errorf("brotli: %d bytes, %v", len(got), err)
	}
	gz, err := os.Open(filepath.Join(dst, "a/text.js.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer gz.Close()
	z, err := gzip.NewReader(gz)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, text) {
		t.Errorf("gzip: %d bytes, %v", len(got), err)
	}
	f := m.Files["a/text.js"]
	if f.Size != int64(len(text)) || f.Brotli != int64(len(br)) || f.Type != "text/javascript; charset=utf-8" || len(f.SHA256) != 64 {
		t.Errorf("manifest: %+v", f)
	}
	read, err := Read(os.DirFS(dst))
	if err != nil || read.Pyodide != "1.2.3" || len(read.Files) != 3 || read.Files["a/text.js"] != f {
		t.Errorf("manifest as read: %+v, %v", read, err)
	}

	// The same again: nothing is written but the manifest.
	if _, err := Pack(dst, "1.2.3", files, 9); err != nil {
		t.Fatal(err)
	}
	second := listing(t, dst)
	for _, name := range names[:4] {
		if first[name] != second[name] {
			t.Errorf("%s was packed again", name)
		}
	}

	// One changed, one lost on disk, one no longer wanted.
	writeFile(t, files["a/text.js"], noise)
	if err := os.Remove(filepath.Join(dst, "b/noise.zip")); err != nil {
		t.Fatal(err)
	}
	delete(files, "empty.txt")
	if _, err := Pack(dst, "1.2.3", files, 9); err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range listing(t, dst) {
		got = append(got, name)
	}
	slices.Sort(got)
	if want := []string{"a/text.js", "b/noise.zip", ManifestName}; !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
}

func TestPackRefuses(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	file := writeFile(t, filepath.Join(src, "f"), []byte("x"))
	for _, files := range []map[string]string{
		{"../outside": file}, {"/absolute": file}, {"missing": filepath.Join(src, "nothing")},
	} {
		if _, err := Pack(dst, "1", files, 9); err == nil {
			t.Errorf("%v was packed", files)
		}
	}
	if l := listing(t, dst); len(l) != 0 {
		t.Errorf("left behind: %v", l)
	}
}
