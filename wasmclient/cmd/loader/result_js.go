package main

import "initgrace/grace/protocol/codec"

// encode is the result in JSON.
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
