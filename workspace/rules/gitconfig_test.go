package rules

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belljar-dev/belljar"
)

// fromGitConfig is what one configuration, read as that of a repository, names.
func fromGitConfig(config, file, dir, gitDir string) []belljar.Pattern {
	s := newScan(DiscoverOptions{Dir: dir})
	for _, t := range parseConfig(config) {
		s.setting(t, source{file: file, base: s.dir, gitDir: gitDir})
	}
	return s.found.Hold
}

func TestFromGitConfig(t *testing.T) {
	config := `[core]
	repositoryformatversion = 0
	hooksPath = hooks-of-ours
	fsmonitor = "./tools/watch.sh --fast"
[include] path = ../config/shared.inc
[include]
	path = ../../outside
[remote "origin"]
	url = https://example.com/a/b.git
	fetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
	merge = refs/heads/main
[filter "x"]
	clean = python3 scripts/[f]/clean.py %f
	smudge = /usr/bin/cat
[diff "y"]
	textconv = /p/tools/conv
; textconv = /p/commented
[alias]
	x = !sh ./tools/alias.sh
`
	var got []string
	for _, p := range fromGitConfig(config, "/p/.git/config", "/p", "/p/.git") {
		got = append(got, p.Glob)
	}
	want := []string{"/hooks-of-ours", "/tools/watch.sh", "/config/shared.inc", `/scripts/\[f\]/clean.py`, "/tools/conv", "/tools/alias.sh"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	r := mustRules(t, Options{Hold: fromGitConfig(config, "f", "/p", "/p/.git")})
	for p, k := range map[string]Kind{"hooks-of-ours/pre-commit": Hold, "tools/watch.sh": Hold, "tools/other": Pass, "scripts/[f]/clean.py": Hold} {
		if v := r.Explain(p); v.Kind != k {
			t.Errorf("%s: %v, want %v", p, v.Kind, k)
		}
	}
}

func FuzzFromGitConfig(f *testing.F) {
	f.Add("[core]\n\thooksPath = a/b\n")
	f.Add("[include]path=\x00[\xff{")
	f.Fuzz(func(t *testing.T, config string) {
		ps := fromGitConfig(config, "f", "/p", "/p/.git")
		if _, err := New(Options{Mode: "live", Hold: ps}); err != nil {
			t.Errorf("%q gives patterns that do not compile: %v", config, err)
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add(".git", "config", uint8(1))
	f.Add("a", "HEAD", uint8(2))
	f.Add(".e\u200dnv", "x", uint8(0x83))
	r := mustRules(f, Options{})
	f.Fuzz(func(t *testing.T, a, b string, e uint8) {
		s, v := r.Root().Judge(a, Entry(e))
		s2, v2 := r.Root().Judge(a, Entry(e))
		if s != s2 || v != v2 {
			t.Errorf("%q is judged in two ways", a)
		}
		n, w := s.Judge(b, Entry(e))
		if s.place == hidden && w.Kind != Hide {
			t.Errorf("%q below the hidden %q: %v", b, a, w.Kind)
		}
		if s.place == held && w.Kind == Pass {
			t.Errorf("%q below the held %q passes", b, a)
		}
		if w.Kind == Hold && n.place == plain {
			t.Errorf("what is below the held %q/%q is ordinary", a, b)
		}
	})
}
