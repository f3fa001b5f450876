package main

import "initgrace/grace/protocol"

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
