package study

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
)

const full = `
page_interval: 1s
policy:
  silence_timeout: 5s
  load_count: off
experiments:
  grid:
    group: {size: 3, wait_timeout: 5m, same_condition: true, max_latency: 300ms}
    policy:
      load_cap: 2m
    scenes:
      - id: intro
      - id: game
        shuffled: true
        policy: {blocked_timeout: 1m}
      - {id: quiz, shuffled: true}
    conditions:
      - {name: slow, weight: 2}
      - {name: fast, scenes: [intro, game]}
    block_size: 6
    seed: 7
    pyodide: {packages: [numpy]}
    on_expiry: {do: ask, minimum: 2, delay: 20s, otherwise: requeue, choices: [end, replace]}
    completion: {code: C1, link: "https://pay.example/?cc={code}&who={participant}"}
    compensation: {code: C2}
  alone:
`

func TestStudy(t *testing.T) {
	s, err := Parse("s.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	base := grace.Policy{SilenceTimeout: 5 * time.Second, LoadCount: -1}
	experiment := base
	experiment.LoadCap = 2 * time.Minute
	game := experiment
	game.BlockedTimeout = time.Minute
	seed := uint64(7)
	want := &Study{
		PageInterval: time.Second, Policy: base.WithDefaults(),
		Experiments: map[string]*Plan{
			"grid": {
				Name: "grid", Size: 3, WaitTimeout: 5 * time.Minute, SameCondition: true, MaxLatency: 300 * time.Millisecond,
				Policy: experiment.WithDefaults(),
				Scenes: []Scene{
					{ID: "intro", Policy: experiment.WithDefaults()}, {ID: "game", Policy: game.WithDefaults(), Shuffled: true},
					{ID: "quiz", Policy: experiment.WithDefaults(), Shuffled: true},
				},
				Conditions: []Condition{{Name: "slow", Weight: 2}, {Name: "fast", Weight: 1, Scenes: []string{"intro", "game"}}},
				BlockSize:  6, Seed: &seed, Packages: []string{"numpy"},
				Expiry:     Expiry{Do: Ask, Otherwise: Requeue, Minimum: 2, Delay: 20 * time.Second, Choices: []Action{End, Replace}},
				Completion: Payment{Code: "C1", Link: "https://pay.example/?cc={code}&who={participant}"}, Compensation: Payment{Code: "C2"},
			},
			"alone": {
				Name: "alone", Size: 2, WaitTimeout: 10 * time.Minute, Policy: base.WithDefaults(),
				Expiry: Expiry{Do: End, Otherwise: End, Minimum: 2, Delay: 30 * time.Second, Choices: []Action{End, Continue, Requeue}},
			},
		},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got\n%+v\nwant\n%+v\ngrid %+v\nalone %+v", s, want, s.Experiments["grid"], s.Experiments["alone"])
	}
	grid := s.Experiments["grid"]
	if grid.PolicyIn("game") != game.WithDefaults() || grid.PolicyIn("elsewhere") != experiment.WithDefaults() {
		t.Error("the policy in a scene is another one")
	}
	if link := grid.Completion.For("a&b"); link != "https://pay.example/?cc=C1&who=a%26b" {
		t.Errorf("link %s", link)
	}
	if ids, shuffled := grid.SceneIDs("fast"); strings.Join(ids, " ") != "intro game" || !shuffled("game") || shuffled("intro") {
		t.Errorf("scenes of fast: %v", ids)
	}
	for _, empty := range []string{"", "# nothing\n", "experiments:\n", "policy:\n"} {
		if s, err := Parse("s.yaml", []byte(empty)); err != nil || len(s.Experiments) > 0 || s.Policy != (grace.Policy{}).WithDefaults() {
			t.Errorf("%q: %+v, %v", empty, s, err)
		}
	}
}

// What an experiment has by a merge key or an alias counts as its own.
func TestBlockSizeOfAnotherExperiment(t *testing.T) {
	const a = "experiments:\n  a: &base\n    block_size: 6\n    conditions: [{name: p}, {name: q}]\n"
	for _, b := range []string{"  b: *base\n", "  b:\n    <<: *base\n    seed: 1\n"} {
		s, err := Parse("s.yaml", []byte(a+b))
		if err != nil {
			t.Errorf("%q: %v", b, err)
		} else if got := s.Experiments["b"]; got.BlockSize != 6 || len(got.Conditions) != 2 {
			t.Errorf("%q: %+v", b, got)
		}
	}
}

// mistakes are study files with one mistake each, and what is said about it.
// The schema finds the first kind, too.
var mistakes = []struct {
	text, want string
	schema     bool // shows the mistake
}{
	{"policy:\n  load_cap: 3\n", "s.yaml:2:13: 3 is not a duration: write 500ms", true},
	{"policy:\n  load_cap: -3s\n", "s.yaml:2:13: -3s must be positive", true},
	{"policy:\n  loadcap: 3s\n", `s.yaml:2:3: unknown field "loadcap": did you mean load_cap?`, true},
	{"policy:\n  colour: 3s\n", `s.yaml:2:3: unknown field "colour": remove it`, true},
	{"policy:\n  load_count: many\n", "s.yaml:2:15: many is not a count", true},
	{"policy:\n  load_cap: 3m\n  load_cap: 4m\n", "s.yaml:3:3: ", false},
	{"policy: [1]\n", "s.yaml:1:9: ", true},
	{"policy: {load_cap: 3m\n", "s.yaml:1:", false},
	{"policy: {}\n---\npolicy: {}\n", "s.yaml: holds more than one document", false},
	{"policy:\n  silence_timeout: off\n", "s.yaml:2:3: silence_timeout off is negative, and cannot be switched off", false},
	{"policy:\n  probe_interval: 9s\n", "s.yaml:2:3: probe_interval 9s must be shorter than silence_timeout 4s", false},
	{"page_interval: 5s\n", "page_interval 5s must be shorter than blocked_after 3s", false},
	{"experiments:\n  a b:\n    group: {size: 2}\n", `s.yaml:3:5: the name "a b" must be`, true},
	{"experiments:\n  a:\n    group:\n      size: 1\n", "s.yaml:4:13: size 1 must be from 2 to 100", true},
	{"experiments:\n  a:\n    group:\n      size: 0\n", "s.yaml:4:13: size 0 must be", true},
	{"experiments:\n  a:\n    group:\n      size: two\n", `s.yaml:4:13: "two" is not a whole number`, true},
	{"experiments:\n  a:\n    group:\n      same_condition: true\n", "s.yaml:4:23: same_condition is for", false},
	{"experiments:\n  a:\n    policy:\n      load_cap: 20s\n", "s.yaml:4:7: load_timeout 1m0s must not be longer than load_cap 20s", false},
	{"experiments:\n  a:\n    scenes:\n      - id: x\n        policy:\n          load_budget: 1m\n", "s.yaml:6:11: load_cap 3m0s must not be longer than load_budget 1m0s", false},
	{"experiments:\n  a:\n    scenes: [{id: x}, {id: x}]\n", `s.yaml:3:28: there are two scenes "x"`, false},
	{"experiments:\n  a:\n    scenes:\n      - shuffled: true\n", `s.yaml:4:9: the scene's id "" must be`, false},
	{"experiments:\n  a:\n    conditions:\n      - name: x\n        scenes: [y]\n", `s.yaml:5:18: there is no scene "y": add it`, false},
	{"experiments:\n  a:\n    conditions: [{name: x}, {name: x}]\n", `s.yaml:3:36: there are two conditions "x"`, false},
	{"experiments:\n  a:\n    conditions: [{name: x, weight: -1}]\n", "s.yaml:3:36: weight -1 must be", true},
	{"experiments:\n  a:\n    conditions: [{name: x, weight: 2}]\n    block_size: 3\n", "s.yaml:4:17: block_size 3 must be a multiple of 2", false},
	{"experiments:\n  a:\n    block_size: 3\n", "s.yaml:3:17: block_size 3 is for an experiment with conditions", false},
	{"experiments:\n  a:\n    on_expiry:\n      do: explode\n", "s.yaml:4:11: explode is none of end, continue, requeue, replace, ask", true},
	{"experiments:\n  a:\n    on_expiry:\n      minimum: 3\n", "s.yaml:4:16: minimum 3 must be from 1 to the group's size 2", false},
	{"experiments:\n  a:\n    on_expiry: {do: ask, otherwise: ask}\n", "s.yaml:3:37: otherwise ask would wait again", false},
	{"experiments:\n  a:\n    on_expiry: {do: ask, delay: off}\n", "s.yaml:3:33: delay cannot be off", false},
	{"experiments:\n  a:\n    on_expiry: {do: ask, choices: [end]}\n", "s.yaml:3:35: choices must be two or more", false},
	{"experiments:\n  a:\n    completion: {link: prolific}\n", `s.yaml:3:24: link "prolific" must be an address`, false},
	{"experiments:\n  a:\n    completion: {link: 'https://x.example/{code}'}\n", "s.yaml:3:24: link has {code} in it", false},
	{"experiments:\n  a:\n    pyodide: {packages: [' ']}\n", "s.yaml:3:26: the package has no name", false},
}

// Every mistake is refused in one line that says where it is.
func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		s, err := Parse("s.yaml", []byte(m.text))
		var own *Error
		switch {
		case err == nil:
			t.Errorf("%q was taken: %+v", m.text, s)
		case !strings.Contains(err.Error(), m.want) || strings.Contains(err.Error(), "\n") || !errors.As(err, &own):
			t.Errorf("%q:\n got %v\nwant %s", m.text, err, m.want)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if _, err := Read(path); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# long\n", maxFile/7+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "over 1 MiB") {
		t.Errorf("a long file: %v", err)
	}
}
