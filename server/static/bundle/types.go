package bundle

import (
	"path"
	"strings"
)

// types are written down here because the system's tables differ: on some
// machines .mjs or .wasm has another type or none, and a browser then refuses
// the module or compiles the WASM only after its download.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".csv":   "text/csv; charset=utf-8",
	".gif":   "image/gif",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".jpeg":  "image/jpeg",
	".jpg":   "image/jpeg",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".map":   "application/json",
	".mjs":   "text/javascript; charset=utf-8",
	".mp3":   "audio/mpeg",
	".mp4":   "video/mp4",
	".ogg":   "audio/ogg",
	".pdf":   "application/pdf",
	".png":   "image/png",
	".py":    "text/x-python; charset=utf-8",
	".svg":   "image/svg+xml",
	".ts":    "text/plain; charset=utf-8", // TypeScript; the system may say video/mp2t
	".txt":   "text/plain; charset=utf-8",
	".wasm":  "application/wasm",
	".wav":   "audio/wav",
	".webm":  "video/webm",
	".webp":  "image/webp",
	".whl":   "application/zip",
	".woff2": "font/woff2",
	".yaml":  "application/yaml",
	".yml":   "application/yaml",
	".zip":   "application/zip",
}

// Type returns the Content-Type of a file by its name; of an unknown one
// application/octet-stream, so that no browser guesses.
func Type(name string) string {
	if t, ok := types[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}
