package server

import (
	"io/fs"
	"log/slog"
	"time"

	"initgrace/grace"
	"initgrace/server/socketio"
	"initgrace/server/store"
	"initgrace/server/study"
)

// Config configures a Server. The zero value serves the embedded demo study
// with the default policy and keeps sessions in memory only.
type Config struct {
	// Policy says how long each kind of silence is tolerated.
	Policy grace.Policy
	// Study says which experiments there are. It brings its own Policy and
	// PageInterval, which must not be set besides it. Nil: no file, any
	// experiment.
	Study *study.Study
	// PageInterval is how often the page is asked for a sign of life (the
	// Engine.IO pingInterval). Default 2 s.
	PageInterval time.Duration
	// Site is served at /. Nil: the embedded demo study.
	Site fs.FS
	// Pyodide is the unpacked npm package pyodide, served at
	// /pyodide/<version>/. Nil: the embedded, precompressed one.
	Pyodide fs.FS
	// Packages is a folder with packages for Pyodide, as `initgrace pyodide add`
	// fills it. Nil: none.
	Packages fs.FS
	// PackageCDN is where pages find other packages: the URL of a folder, in
	// which {version} stands for Pyodide's, or "public". Empty: nowhere.
	PackageCDN string
	// Store keeps the sessions. Nil: in memory, lost with the process. The server
	// closes it.
	Store store.Store
	// Relay lets other servers of the same Store hold connections for this one;
	// see NewFollower.
	Relay bool
	// Origins are the allowed values of the Origin header besides the
	// server's own host. "*" allows every origin.
	Origins []string
	// TrustedProxies are addresses or prefixes from which X-Forwarded-For is
	// believed.
	TrustedProxies []string
	// Polling also admits long-polling, where the browser cannot be probed
	// and PageTimeout applies.
	Polling bool
	// RequireToken lets nobody come back to a session without its token, in any
	// experiment. Otherwise the Study says in which; by default the
	// participant's id is enough.
	RequireToken bool
	// Limits bound what clients can make the server do.
	Limits socketio.Limits
	// AdminToken opens what only the experimenter may see. Empty: it is not
	// served at all.
	AdminToken string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Observe, if set, is called for every presence change, in order, once
	// it is stored. It must not block.
	Observe func(grace.Change)
}
