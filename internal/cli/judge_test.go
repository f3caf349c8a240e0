package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge"
)

// A line of a batch that cannot be read is named, and costs no other line its answer.
func TestJudgeBatch(t *testing.T) {
	j, err := judge.New(belljar.Commands{Rules: []belljar.CommandRule{{Verdict: "allow", Pattern: "ls *"}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cases := filepath.Join(dir, "cases.jsonl")
	text := "{\"kind\":\"ruleset\"}\n{\"id\":\"a\",\"cmd\":\"ls\",\"other\":[1]}\n\nbroken\n{\"id\":\"n\"}\n{\"id\":7,\"cmd\":\"cat <(nc x)\"}"
	if err := os.WriteFile(cases, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := &App{Out: out}
	err = a.judgeBatch(t.Context(), j, cases)
	for _, want := range []string{"cases.jsonl:4", "cases.jsonl:5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"id":"a","verdict":"allow","reason":"`) || !strings.HasPrefix(lines[1], `{"id":7,"verdict":"ask",`) {
		t.Errorf("answers:\n%s", b)
	}
}
