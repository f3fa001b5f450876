package main

import (
	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
)

// loadResult is wasmclient.LoadResult in JSON.
type loadResult struct {
	ID          string          `json:"id"`
	Protected   bool            `json:"protected"`
	Unprotected *protocol.Error `json:"unprotected,omitempty"`
	LeaseMS     float64         `json:"leaseMs"`
	CapMS       float64         `json:"capMs"`
	WaitMS      float64         `json:"waitMs"`
	TookMS      float64         `json:"tookMs"`
	BlockedMS   float64         `json:"blockedMs"`
	LongestMS   float64         `json:"longestBlockMs"`
}

func (r *loadResult) encode() []byte {
	var w codec.Writer
	w.Text("id", r.ID)
	w.Bool("protected", r.Protected)
	if r.Unprotected != nil {
		var why codec.Writer
		if err := why.Fields(r.Unprotected); err == nil { // it is the protocol's own
			w.Raw("unprotected", why.JSON())
		}
	}
	w.Float("leaseMs", r.LeaseMS)
	w.Float("capMs", r.CapMS)
	w.Float("waitMs", r.WaitMS)
	w.Float("tookMs", r.TookMS)
	w.Float("blockedMs", r.BlockedMS)
	w.Float("longestBlockMs", r.LongestMS)
	return w.JSON()
}
