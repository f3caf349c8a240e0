package judge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/judge/internal/shell"
	"github.com/belljar-dev/belljar/judge/internal/table"
)

// What cannot be bounded is asked, never allowed, and never takes long.
func TestBounds(t *testing.T) {
	j := corpusJudge(t)
	deep := strings.Repeat
	for name, line := range map[string]string{
		"a megabyte":                 "ls " + deep("a", 1<<20),
		"a megabyte of commands":     deep("ls; ", 1<<18),
		"commands within the bounds": deep("ls; ", shell.MaxBytes/4),
		"parentheses":                deep("(", 200_000),
		"balanced parentheses":       deep("(", 200_000) + "ls" + deep(")", 200_000),
		"parentheses within bounds":  deep("(", 99) + "ls" + deep(")", 99),
		"substitutions":              deep("$(", 100_000) + "ls" + deep(")", 100_000),
		"arithmetic":                 "echo $((" + deep("(", 100_000) + "1" + deep(")", 100_000) + "))",
		"unary operators":            "echo $((" + deep("-", 100_000) + "1))",
		"unary operators, spaced":    "echo $((" + deep("- ", 100_000) + "1))",
		"a long sum":                 "echo $((1" + deep("+1", 100_000) + "))",
		"powers":                     "echo $((1" + deep("**1", 60_000) + "))",
		"ternaries":                  "echo $((" + deep("1?1:", 50_000) + "1))",
		"bangs":                      deep("! ", 100_000) + "ls",
		"ifs":                        deep("if ", 100_000),
		"whiles":                     deep("while ", 60_000),
		"functions":                  deep("f() ", 50_000) + "{ ls; }",
		"a long and-list":            "ls" + deep(" && ls", 40_000),
		"a long pipe":                "ls" + deep(" | cat", 40_000),
		"a long test":                "[[ a" + deep(" && a", 40_000) + " ]]",
		"negated tests":              "[[ " + deep("! ", 100_000) + "a ]]",
		"backquotes":                 deep("`", 100_000),
		"quotes":                     deep(`"$(`, 50_000),
		"braces":                     "echo " + deep("{a,b}", 50_000),
		"braces within bounds":       "echo " + deep("{a,", 99) + "b" + deep("}", 99),
		"a sequence":                 "echo {1..999999999}",
		"sequences":                  "echo " + deep("{1..99}", 50),
		"evals":                      deep("eval ", 40_000) + "ls",
		"envs":                       deep("env ", 60_000) + "ls",
		"nested shells":              nestedShells(12),
		"loops":                      deep("for a in 1 2 3 4 5 6 7 8; do ", 30) + "ls" + deep("; done", 30),
		"functions that call":        callChain(40),
		"redirections":               "ls" + deep(" >a", 60_000),
		"assignments":                deep("a=1 ", 60_000),
		"a doubling variable":        "a=xxxxxxxx; " + deep("a=$a$a$a$a; ", 3_000) + "echo $a",
		"here-documents":             deep("cat <<A\nA\n", 20_000),
		"a case":                     "case a in " + deep("a) ls;; ", 30_000) + "esac",
		"expansions":                 "echo " + deep("${a:-", 99) + "b" + deep("}", 99),
		"globs":                      "cat " + deep("*?", 60_000),
		"globs and dots":             "cat " + deep("*/../", 40_000),
		"a tilde":                    deep("~", 100_000),
		"sed":                        "sed '" + deep("s/a/b/;", 30_000) + "'",
		"awk":                        "awk '" + deep("{print}", 30_000) + "'",
		"find":                       "find " + deep(". ", 2_000) + deep(`-exec ls {} \; `, 2_000),
		"invalid UTF-8":              "ls \xff\xfe",
		"a lone continuation":        "\x80",
		"control characters":         "ls \x01 \x03",
		"an escape":                  "ls \x1b[2J",
	} {
		var d Decision
		if took := testenv.Work(t, func() { d = j.Line(line) }); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if d.Verdict == Allow && !strings.Contains(name, "within") && !mayPass(name) {
			t.Errorf("%s: allowed", name)
		}
	}
}

// mayPass are long lines without anything that is not known.
func mayPass(name string) bool {
	switch name {
	case "braces", "globs and dots", "expansions", "a sequence", "sequences", "a long test", "assignments", "here-documents", "a doubling variable", "a long and-list", "sed", "awk", "a long sum", "a long pipe", "powers", "evals", "envs", "redirections", "ternaries", "a case":
		return true
	}
	return false
}

func nestedShells(n int) string {
	line := "ls"
	for range n {
		line = "sh -c '" + strings.ReplaceAll(line, "'", `'\''`) + "'"
		if len(line) > shell.MaxBytes {
			break
		}
	}
	return line
}

func callChain(n int) string {
	var b strings.Builder
	b.WriteString("f0() { ls; }; ")
	for i := range n {
		p, q := string(rune('a'+i%26))+strings.Repeat("x", i/26), "f0"
		if i > 0 {
			q = string(rune('a'+(i-1)%26)) + strings.Repeat("x", (i-1)/26)
		}
		b.WriteString(p + "_() { " + q + "_; " + q + "_; }; ")
	}
	return b.String() + "z_"
}

// Unreadable lines are refused or asked, as documented.
func TestRefused(t *testing.T) {
	j := corpusJudge(t)
	for line, want := range map[string]Verdict{"ls\x00": Deny, "ls\r": Deny, "ls \xff": Ask, "ls (": Ask, "": Allow, "  ": Allow, "# ls": Allow} {
		if d := j.Line(line); d.Verdict != want {
			t.Errorf("%q: %s, want %s", line, d.Verdict, want)
		}
	}
}

// Without rules nothing is allowed but what the shell does alone.
func TestEmptyPolicy(t *testing.T) {
	j, err := New(belljar.Commands{})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]Verdict{"ls": Ask, "x=1": Allow, "sudo id": Ask, "cat ~/.ssh/id_rsa": Deny, "echo x > f": Ask, "cd src": Allow} {
		if d := j.Line(line); d.Verdict != want {
			t.Errorf("%q: %s (%s), want %s", line, d.Verdict, d.Reason, want)
		}
	}
}

// A broken rule is an error that names it.
func TestNewRefuses(t *testing.T) {
	for _, r := range []belljar.CommandRule{{Verdict: "allow", Pattern: ""}, {Verdict: "allow", Pattern: "'x"}, {Verdict: "perhaps", Pattern: "ls"}} {
		if _, err := New(belljar.Commands{Rules: []belljar.CommandRule{r}}); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

// A stricter rule wins, wherever it stands, also when the line hides it.
func TestStrictest(t *testing.T) {
	rules := []belljar.CommandRule{
		{Verdict: "allow", Pattern: "tool *"}, {Verdict: "ask", Pattern: "tool push *", Reason: "it pushes"}, {Verdict: "deny", Pattern: "tool drop *"}, {Verdict: "allow", Pattern: "git *"}, {Verdict: "deny", Pattern: "git push *"},
	}
	j, err := New(belljar.Commands{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]Verdict{
		"tool": Allow, "tool x": Allow, "tool push x": Ask, "tool drop": Deny, "tool $x": Ask, "tool x $y": Allow, "tool 'drop' x": Deny,
		"git -C . push": Deny, "git --no-pager push": Deny, "git status": Allow,
	} {
		if d := j.Line(line); d.Verdict != want {
			t.Errorf("%q: %s (%s %s), want %s", line, d.Verdict, d.Rule, d.Reason, want)
		}
	}
	if d := j.Line("ls; tool push x"); d.Rule == "" && d.Part == "" {
		t.Errorf("a decision without its part: %+v", d)
	}
}

// Every handler that a table names exists.
func TestHandlersExist(t *testing.T) {
	var visit func(s *table.Spec)
	visit = func(s *table.Spec) {
		if s.Handler != "" && handlerOf(s.Handler) == nil {
			t.Errorf("%s: no handler %q", s.Name, s.Handler)
		}
		for _, sub := range s.Subs {
			visit(sub)
		}
	}
	for _, n := range table.Names() {
		visit(table.Find(n))
	}
}

// Every guard stands in the page.
func TestGuardsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "judge.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range Guards() {
		if !strings.Contains(string(page), "| `"+g.Name+"` | "+g.Verdict.String()+" | "+g.About+" |") {
			t.Errorf("docs/judge.md lacks: | `%s` | %s | %s |", g.Name, g.Verdict, g.About)
		}
	}
}

// FuzzLine: a judge never panics, and what it allows it can show.
func FuzzLine(f *testing.F) {
	for _, name := range []string{"commands.jsonl", "more.jsonl"} {
		for _, c := range readCases(f, filepath.Join("..", "testdata", "corpus", name)) {
			f.Add(c.Cmd)
		}
	}
	j := corpusJudge(f)
	f.Fuzz(func(t *testing.T, line string) {
		w := &walk{judge: j, left: maxCommands, work: maxWork, state: newState(j)}
		w.line(line) // without the recovery of Line
		w.settle()
		d := w.decision()
		if d.Verdict == Allow && strings.ContainsAny(line, "\x00\r") {
			t.Errorf("%q is allowed", line)
		}
		// What stands behind a line that is allowed is judged as well.
		if d.Verdict == Allow && shell.Check(line+"\nsudo id") == nil && j.Line(line+"\nsudo id").Verdict == Allow && !ends(line) {
			t.Errorf("%q hides what follows", line)
		}
	})
}

// ends says whether what follows a line may be text of it.
func ends(line string) bool {
	return strings.Contains(line, "<<") || strings.HasSuffix(line, "\\") || strings.Contains(line, "exit") || strings.Contains(line, "sudo") || strings.Contains(line, "exec")
}
