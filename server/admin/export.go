package admin

import (
	"bufio"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog/export"
)

var contentTypes = map[export.Format]string{
	export.CSV: "text/csv; charset=utf-8", export.JSONL: "application/jsonl", export.Parquet: "application/vnd.apache.parquet",
}

// export streams one table of the log, as the command does.
func (a *Admin) export(w http.ResponseWriter, r *http.Request) {
	o, problem := exportOptions(r.URL.Query())
	if problem != "" {
		refuse(w, http.StatusBadRequest, protocol.CodeInvalidPayload, problem)
		return
	}
	if pseudonymise := r.URL.Query().Get("pseudonymise"); pseudonymise != "" && pseudonymise != "0" {
		var err error
		// Its own key, so that two exports of one study agree.
		if o.Pseudonyms, err = export.NewPseudonyms(derive(a.Secret, "pseudonyms of exports")); err != nil {
			refuse(w, http.StatusInternalServerError, protocol.CodeInternal, err.Error())
			return
		}
	}
	w.Header().Set("Content-Type", contentTypes[o.Format])
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{
		"filename": "initgrace-" + o.Table + "." + string(o.Format),
	}))
	out := bufio.NewWriterSize(&patient{w, http.NewResponseController(w)}, 64<<10)
	rows, err := export.Write(r.Context(), out, a.Log, o)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		a.Logger.Warn("an export was not finished", "table", o.Table, "rows", rows, "err", err)
		panic(http.ErrAbortHandler) // so that half a file does not look like a whole one
	}
}

func exportOptions(q url.Values) (*export.Options, string) {
	o := &export.Options{Table: q.Get("table"), Format: export.CSV, Experiment: q.Get("experiment")}
	if o.Table == "" {
		o.Table = export.Tables[0]
	}
	if f := q.Get("format"); f != "" {
		o.Format = export.Format(f)
	}
	if !slices.Contains(export.Tables, o.Table) {
		return nil, "table must be events, participants or loads"
	}
	if contentTypes[o.Format] == "" {
		return nil, "format must be csv, jsonl or parquet"
	}
	for name, at := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		if text := q.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, name + " must be a time such as 2026-11-03T14:00:00Z"
			}
			*at = t
		}
	}
	return o, ""
}

// patient gives each write its own deadline: an export may take long, and a
// browser that takes nothing may not.
type patient struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.to.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
