package policy

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the golden files should be")

// golden compares got with a file and writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s is not current (go test ./policy -update):\n%s", file, d)
	}
}

// parse reads text as one layer without links or a workspace.
func parse(text, layer string) (*document, Faults) {
	var r report
	d := decode(newSource(layer, "p.yaml", "/src/p", []byte(text)), &paths{home: "/home/u"}, &r)
	return d, r.all()
}

// Everything that is wrong is reported at once, with its place.
func TestFaults(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "faults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, faults := parse(string(data), layerProject)
	golden(t, filepath.Join("testdata", "faults.golden"), []byte(faults.Error()+"\n"))
}

// Whole files that are no policy.
func TestFaultsOfTheFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "p.yaml:1:1: version: the file is empty",
		"# only a comment\n":                  "the file is empty",
		"---\n":                               "the file is empty",
		"[]":                                  "p.yaml:1:1: expected a mapping with keys, found a list",
		"hello":                               "expected a mapping with keys, found a word",
		"tier: auto\n":                        "version: missing",
		"version: '1'\n":                      "reads version 1",
		"version: 1.0\n":                      "reads version 1",
		"version: 01\n":                       "reads version 1",
		"version: 0x1\n":                      "reads version 1",
		"version: 1\n---\nversion: 1\n":       "p.yaml:3:1: a second document in one file",
		"version: 1\nfiles:\n\tread: [x]\n":   "p.yaml:3:1: not YAML",
		"version: 1\nfiles: {read: [x}\n":     "not YAML",
		"version: 1\nfiles:\n":                "files: expected a mapping with keys, found nothing",
		"version: 1\nfiles: {read: }\n":       "files.read: expected a list of paths, found nothing",
		"version: 1\nversion: 1\n":            "p.yaml:2:1: version: duplicate key, first written in line 1",
		"version: 1\n\"version\": 1\n":        "duplicate key",
		"version: 1\nfiles: &a {read: [x]}\n": "p.yaml:2:8: an anchor is not part",
		"version: 1\nfiles: *a\n":             "an alias is not part",
		"version: 1\n<<: {tier: auto}\n":      "a merge key is not part",
		"version: 1\ntier: !!str auto\n":      "a tag is not part",
		"version: 1\n? tier\n: auto\n":        "a complex key is not part",
		"%YAML 1.2\n---\nversion: 1\n":        "a directive is not part",
		"version: 1\nnetwork:\n  allow:\n  - *.example.com\n":                 `"*.example.com"`,
		"version: 1\ntier: \x1b[31m\n":                                        "p.yaml:2:7: a control character or invalid UTF-8 (byte 0x1b)",
		"version: 1\ntier: \xff\n":                                            "invalid UTF-8 (byte 0xff)",
		"version: 1\ntier: \x00\n":                                            "byte 0x00",
		"version: 1\ntier: a\u0085b\n":                                        "a control character",
		"\ufeffversion: 1\n":                                                  "p.yaml:1:1: a control character",
		"version: 1\nenv: {set: {A: \"\\0\"}}\n":                              "env.set.A: contains a control character",
		"version: 1\nfiles: {read: [\"a\\nb\"]}\n":                            "control character",
		"version: 1\nnetwork: {allow: [\"a.example.com\\0.evil.example\"]}\n": "control character",
	} {
		_, faults := parse(text, layerUser)
		if len(faults) == 0 || !strings.Contains(faults.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, faults, want)
		}
	}
}

func TestGoodFiles(t *testing.T) {
	for _, text := range []string{
		"version: 1", "version: 1\r\ntier: auto\r\n", "---\nversion: 1\n...\n", "{version: 1}", "# c\nversion: 1 # c\n# c\n", "\"version\": 1\n",
		"version: 1\nnetwork:\n  allow:\n  # c\n  - a.example.com # c\n\n  - b.example.com:80\n",
		"version: 1\nnetwork: {allow: [a.example.com:80, b.example.com]}\n",
		"version: 1\nenv:\n  set:\n    A: |\n      x\n      y\n    B: >-\n      z\n    C: ''\n",
		"version: 1\nlimits: {cpus: '2', processes: '100', memory: '1GiB'}\n",
	} {
		d, faults := parse(text, layerUser)
		if len(faults) > 0 {
			t.Errorf("%q: %v", text, faults)
		}
		if strings.Contains(text, "allow") && len(d.allow.items) != 2 {
			t.Errorf("%q: %+v", text, d.allow)
		}
	}
}

// What the file says reaches the terminal only in escaped form.
func TestFaultsAreHarmless(t *testing.T) {
	_, faults := parse("version: 1\n\"te\\u202er\\e[31m\": \"\u202e\"\nnetwork: {allow: [\"\u2066a\u009b\"]}\n\"a\u200b\": x\n", layerProject)
	_, raw := parse("version: 1\n\"\u202eteir\": auto\n# \u2066\n# \u2028x\n", layerProject)
	_, more := parse("version: 1\n\"\\u202eteir\": auto\n\"a\\eb\": 1\ntier: \"\\u202e\\u009b\"\n", layerProject)
	s := faults.Error() + raw.Error() + more.Error()
	for _, bad := range []string{"\x1b", "\u202e", "\u2066", "\u009b", "\u200b"} {
		if strings.Contains(s, bad) {
			t.Errorf("%q in %q", bad, s)
		}
	}
	if len(more) != 3 || len(raw) != 3 {
		t.Errorf("%v\n%v", more, raw)
	}
}

func TestManyFaults(t *testing.T) {
	_, faults := parse("version: 1\nnetwork:\n  allow:\n"+strings.Repeat("  - '*'\n", 1000), layerUser)
	if len(faults) != maxFaults+1 || !strings.Contains(faults.Error(), "900 more faults are not shown") {
		t.Errorf("%d faults, last %v", len(faults), faults[len(faults)-1])
	}
}

// The excerpt of a long line is the part around the fault, with the caret below it.
func TestExcerptOfALongLine(t *testing.T) {
	_, faults := parse("version: 1\nnetwork: {allow: ["+strings.Repeat("a.example.com, ", 100)+"evil..com, "+strings.Repeat("a.example.com, ", 20)+"]}\n", layerUser)
	lines := strings.Split(faults.Error(), "\n")
	if len(faults) != 1 || len(lines) < 3 || strings.Index(lines[1], "evil..com") != strings.Index(lines[2], "^^^^^^^^^") || len(lines[1]) > 140 {
		t.Errorf("%v", faults)
	}
}

// Whatever the bytes are: no panic, no policy with a fault, and what is accepted
// prints as a file that means the same.
func FuzzDecode(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "faults.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(whole)
	for _, s := range presetSources() {
		f.Add(string(s.data))
	}
	for _, s := range []string{
		"version: 1\n", "{version: 1, env: {set: {A: \"\\u0085\\\\ \"}}}", "version: 1\nfiles: &a {read: *a}\n", "? a\n: b", "- - - -", "a: |\n  b\n", "!!binary x",
		"version: 1\nnetwork: {allow: [a.b.example:80, {host: \"*.a.b.example\", private: true}]}\n",
		"version: 1\nnetwork: {allow: [{host: a.test, methods: [GET, HEAD], paths: [\"/a/**\", \"/%C3%A9\"]}]}\n" +
			"credentials: [{name: A, from: {command: [op, read, \"x y\"]}, hosts: [a.test], methods: [POST], paths: [/*], header: basic, user: me}, {name: B, from: {file: /k}, hosts: [a.test], header: x-k}]\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		d, faults := parse(text, layerUser)
		if len(faults) > 0 {
			_ = faults.Error()
			return
		}
		p := merged(d, nil, nil, nil, false)
		if p == nil && len(d.credentials.items) > 0 {
			return // bound to a host that no rule allows
		}
		if p == nil {
			t.Fatal("a file without faults is no policy")
		}
		again, err := p.YAML()
		if err != nil {
			t.Fatal(err)
		}
		d2, faults := parse(string(again), layerUser)
		if len(faults) > 0 {
			t.Fatalf("%v\n%s", faults, again)
		}
		if q := merged(d2, nil, nil, nil, false); withoutPresets(p) != withoutPresets(q) {
			t.Fatalf("%s\n%s\n%s", p.canonical(), q.canonical(), again)
		}
	})
}

// withoutPresets is the hash of a policy without what only presets can say.
func withoutPresets(p *Policy) string {
	s := p.state.clone()
	s.home, s.sessions = nil, nil
	return build(s, p.paths, nil).Hash()
}
