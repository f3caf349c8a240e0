package judge

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/policy"
)

// A corpusCase is one line of a file of cases.
type corpusCase struct {
	Kind    string   `json:"kind"`
	ID      string   `json:"id"`
	Cmd     string   `json:"cmd"`
	Verdict string   `json:"verdict"`
	Accept  []string `json:"accept"`
	Benign  bool     `json:"must_not_deny"`
	Why     string   `json:"why"`
}

func readCases(t testing.TB, file string) []corpusCase {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var l []corpusCase
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var c corpusCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.Kind == "case" || c.Kind == "" {
			l = append(l, c)
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return l
}

// Every verdict of the corpora is one that is accepted, and of what is benign hardly
// anything is asked.
func TestCorpora(t *testing.T) {
	j := corpusJudge(t)
	for _, name := range []string{"commands.jsonl", "more.jsonl"} {
		benign, asked := 0, 0
		for _, c := range readCases(t, filepath.Join("..", "testdata", "corpus", name)) {
			d := j.Line(c.Cmd)
			if !slices.Contains(c.Accept, d.Verdict.String()) {
				t.Errorf("%s %q: %s (%s: %s: %s), accepted: %s (%s)", c.ID, c.Cmd, d.Verdict, d.Rule, d.Reason, d.Part, strings.Join(c.Accept, ", "), c.Why)
			}
			if c.Benign {
				benign++
				if d.Verdict == Ask && c.Verdict == "allow" {
					asked++
				}
			}
		}
		if asked*20 > benign {
			t.Errorf("%s: %d of %d benign lines are asked", name, asked, benign)
		}
	}
}

// corpusJudge judges by the rule-set of the corpus, as the policy package reads it.
func corpusJudge(t testing.TB) *Judge {
	t.Helper()
	p, err := policy.Load(policy.LoadOptions{PolicyFile: filepath.Join("..", "testdata", "corpus", "commands.yaml"), Home: "/nonexistent", Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(p.Commands())
	if err != nil {
		t.Fatal(err)
	}
	return j
}
