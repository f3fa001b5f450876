package main

import (
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	visits := []visit{
		{Server: "floor", Size: 100, Metrics: map[string]float64{"load_rate": 1000, "herd_rate": 900}},
		{Server: "initgrace", Size: 100, Metrics: map[string]float64{"load_rate": 400}},
		{Server: "initgrace", Size: 100, Metrics: map[string]float64{"load_rate": 700}},
		{Server: "initgrace", Size: 100, Metrics: map[string]float64{"load_rate": 600}},
		{Server: "node", Size: 100, Error: "did not answer"},
	}
	var b strings.Builder
	write(&b, visits, "a machine", "")
	for _, want := range []string{
		"a machine",
		"| initgrace | this server, sessions in memory | 3 |",
		"over and over: acks a second | 600 (0.6) | 1000 |\n", // the median, and the ratio of medians
		"| 100 | at once: acks a second | – | 900 |\n",        // measured of one only
		"- node, 100 participants: did not answer",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if unmeasured := "CPU per ack"; strings.Contains(b.String(), unmeasured) {
		t.Errorf("%q has a row", unmeasured)
	}
}
