package cli

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 30, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]time.Time{
		"":                     {},
		"7d":                   now.AddDate(0, 0, -7),
		"2w":                   now.AddDate(0, 0, -14),
		"90m":                  now.Add(-90 * time.Minute),
		"1h30m":                now.Add(-90 * time.Minute),
		"2026-11-01":           time.Date(2026, 11, 1, 0, 0, 0, 0, now.Location()),
		"2026-11-01 08:15":     time.Date(2026, 11, 1, 8, 15, 0, 0, now.Location()),
		"08:15":                time.Date(2026, 11, 28, 8, 15, 0, 0, now.Location()),
		"2026-11-01T08:15:00Z": time.Date(2026, 11, 1, 8, 15, 0, 0, time.UTC),
	} {
		if got, ok := when(text, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"d", "-7d", "-5m", "yesterday", "7", "99999999d", "2026-13-01", "\x00"} {
		if got, ok := when(text, now); ok {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func FuzzWhen(f *testing.F) {
	f.Add("7d")
	now := time.Date(2026, 11, 28, 12, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := when(text, now); ok && got.IsZero() != (text == "") && got.Year() > 1 {
			t.Errorf("%q: %v", text, got)
		}
	})
}

func TestPicked(t *testing.T) {
	for _, p := range []picked{{kinds: []string{"nonsense"}}, {verdict: "nonsense"}, {since: "x"}, {until: "x"}, {path: "["}, {process: "a["}} {
		if f, err := p.filter(time.Now()); err == nil {
			t.Errorf("%+v is taken for %+v", p, f)
		}
	}
	p := picked{verdict: "pass", host: "h", since: "1h", kinds: []string{"exec"}}
	if f, err := p.filter(time.Now()); err != nil || f.Verdict != "allow" || f.Since.IsZero() || len(f.Kinds) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}
