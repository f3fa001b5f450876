package store

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// TimeLayout is how times are stored as text: ISO 8601, UTC, milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime is t as it is stored; the zero time is empty.
func FormatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(TimeLayout)
}

// ParseTime reads what FormatTime wrote.
func ParseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(TimeLayout, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %.40q is not of the form %s", s, TimeLayout)
	}
	return t, nil
}

// Milliseconds is d as it is stored.
func Milliseconds(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }

// loadText is a Load in JSON.
type loadText struct {
	ID         string `json:"id"`
	Phase      string `json:"phase,omitempty"`
	ExpectedMS int64  `json:"expected_ms,omitempty"`
	Anonymous  bool   `json:"anonymous,omitempty"`
	StartedAt  string `json:"started_at"`
	DeadlineAt string `json:"deadline_at"`
}

func (l Load) MarshalJSON() ([]byte, error) {
	return json.Marshal(loadText{
		l.ID, l.Phase, Milliseconds(l.Expected), l.Anonymous, FormatTime(l.StartedAt), FormatTime(l.DeadlineAt),
	})
}

func (l *Load) UnmarshalJSON(b []byte) error {
	var t loadText
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	started, err := ParseTime(t.StartedAt)
	if err != nil {
		return err
	}
	deadline, err := ParseTime(t.DeadlineAt)
	if err != nil {
		return err
	}
	*l = Load{t.ID, t.Phase, time.Duration(t.ExpectedMS) * time.Millisecond, t.Anonymous, started, deadline}
	return nil
}

// waitingText is a Waiting in JSON.
type waitingText struct {
	Size  int    `json:"size"`
	Turn  int64  `json:"turn"`
	Since string `json:"since"`
	Until string `json:"until,omitempty"`
}

func (w Waiting) MarshalJSON() ([]byte, error) {
	return json.Marshal(waitingText{w.Size, w.Turn, FormatTime(w.Since), FormatTime(w.Until)})
}

func (w *Waiting) UnmarshalJSON(b []byte) error {
	var t waitingText
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	since, err := ParseTime(t.Since)
	if err != nil {
		return err
	}
	until, err := ParseTime(t.Until)
	if err != nil {
		return err
	}
	*w = Waiting{t.Size, t.Turn, since, until}
	return nil
}

// vacancyText is a Vacancy in JSON.
type vacancyText struct {
	Action  string `json:"action"`
	Size    int    `json:"size"`
	Partner string `json:"partner"`
	Until   string `json:"until"`
}

func (v Vacancy) MarshalJSON() ([]byte, error) {
	return json.Marshal(vacancyText{v.Action, v.Size, v.Partner, FormatTime(v.Until)})
}

func (v *Vacancy) UnmarshalJSON(b []byte) error {
	var t vacancyText
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	until, err := ParseTime(t.Until)
	if err != nil {
		return err
	}
	*v = Vacancy{t.Action, t.Size, t.Partner, until}
	return nil
}

// ValidText is s as UTF-8.
func ValidText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// A Counter is a number and its name, for an error.
type Counter struct {
	Name string
	N    uint64
}

// InRange refuses counters that a signed number of 64 bits cannot hold.
func InRange(counters ...Counter) error {
	for _, c := range counters {
		if c.N > math.MaxInt64 {
			return fmt.Errorf("%s %d is out of range", c.Name, c.N)
		}
	}
	return nil
}
