package policy

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"
)

func TestParseLimit(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int64
	}{
		{"memory", "8GiB", 8 << 30},
		{"memory", "512MiB", 512 << 20},
		{"memory", "1.5GiB", 3 << 29},
		{"memory", "65536KiB", 64 << 20},
		{"disk", "1TiB", 1 << 40},
		{"cpus", "2", 2000},
		{"cpus", "0.5", 500},
		{"processes", "4096", 4096},
		{"files", "1024", 1024},
		{"time", "90m", int64(90 * time.Minute)},
		{"time", "1h30m", int64(90 * time.Minute)},
		{"time", "1.5h", int64(90 * time.Minute)},
		{"time", "24h", int64(24 * time.Hour)},
	} {
		got, err := parseLimit(c.name, c.text)
		if err != nil || got != c.want {
			t.Errorf("%s %s: %d, %v", c.name, c.text, got, err)
		}
		k := limitKindOf(c.name)
		if again, err := parseLimit(c.name, k.format(got)); err != nil || again != got {
			t.Errorf("%s %s is written as %s, which is %d, %v", c.name, c.text, k.format(got), again, err)
		}
	}
}

func TestParseLimitRefuses(t *testing.T) {
	for name, texts := range map[string][]string{
		"memory": {
			"", "8", "8G", "8GB", "8gib", "GiB", "-8GiB", "+8GiB", " 8GiB", "8 GiB", "8GiB ", "1e3GiB", "0x8GiB", "8GiBGiB", "8.GiB", ".5GiB", "1.2.3GiB", "0GiB",
			"1KiB", "99999999999999999999TiB", "1000TiB", "NaNGiB", "InfGiB", "unlimited", "٨GiB",
		},
		"cpus":      {"", "0", "-1", "two", "NaN", "Inf", "1e3", "0x2", "1_0", "2000", "0.01", "1,5"},
		"processes": {"", "0", "-1", "+5", "1.5", "4096k", "0x100", "99999999999", "unlimited", "15"},
		"time":      {"", "0", "0s", "24", "2d", "-1h", "+1h", "1500ms", "1.h", ".5h", "1h-30m", "9999999h", "1 h", "500ms", "1µs", "h"},
	} {
		for _, s := range texts {
			if v, err := parseLimit(name, s); err == nil {
				t.Errorf("%s %q: %d", name, s, v)
			}
			_ = suggestLimit(name, s)
		}
	}
}

// The schema's patterns accept what the decoder accepts.
func TestSchemaAcceptsLimits(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties struct {
			Limits struct {
				Properties map[string]struct{ Pattern string }
			}
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{
		"memory": {"8GiB", "08GiB", "1.5GiB", "65536KiB"}, "disk": {"1TiB"}, "time": {"90m", "1h30m", "1.5h", "1h1h", "3600s"},
	} {
		re := regexp.MustCompile(s.Properties.Limits.Properties[name].Pattern)
		for _, w := range words {
			if _, err := parseLimit(name, w); err != nil || !re.MatchString(w) || re.String() == "" {
				t.Errorf("%s %s: %v, schema %v", name, w, err, re)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{
		"raed": "read", "READ": "read", "wrte": "write", "writes": "write", "hid": "hide", "holdd": "hold", "x": "", "": "", "network": "", "rd": "", "rea": "read",
	} {
		if got := nearest(in, []string{"read", "write", "hide", "hold"}); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestHiddenSettingsOnly: where no variable that is set may be shown, the policy that is
// printed can still be read.
func TestHiddenSettingsOnly(t *testing.T) {
	p, err := Load(LoadOptions{Flags: Flags{Env: []string{"KEY=secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	y, err := p.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if _, faults := parse(string(y), layerUser); len(faults) > 0 {
		t.Errorf("%v\n%s", faults, y)
	}
}
