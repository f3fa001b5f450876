package main

import (
	"net/http"
	"testing"
)

func TestCrowd(t *testing.T) {
	var c crowd
	for i, step := range []struct {
		come int
		over bool
	}{
		{0, false}, {crowdSize - 1, false}, {0, false}, // too few
		{1, false}, {0, true}, {0, false}, // the last one had just come; once
		{3 * crowdSize, false}, {1, false}, {0, true}, {crowdSize - 1, false}, {0, false},
	} {
		for range step.come {
			c.state(nil, http.StateNew)
			c.state(nil, http.StateHijacked)
		}
		if over := c.over(); over != step.over {
			t.Errorf("step %d: %v", i, over)
		}
	}
}
