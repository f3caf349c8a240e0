package sandbox

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/agenthook"
)

// TestLineText: one answer is about one line in one folder, and never about a program.
func TestLineText(t *testing.T) {
	long := strings.Repeat("x", 2*maxLine)
	seen := map[string]agenthook.Call{}
	for _, c := range []agenthook.Call{
		{Agent: "claude", Line: "ls"}, {Agent: "codex", Line: "ls"}, {Agent: "claude", Line: "ls", Dir: "/w"}, {Agent: "claude", Line: "ls", Dir: "/w)"},
		{Agent: "claude", Line: `ls" of claude (in /w)`}, {Agent: "claude", Line: long}, {Agent: "claude", Line: long + "y"}, {Agent: "claude", Line: "l\ns\x1b\u202e"},
	} {
		s := lineText(c)
		if other, ok := seen[s]; ok {
			t.Errorf("%+v and %+v are both %q", c, other, s)
		}
		if seen[s] = c; len(s) > maxLine+150 || strings.ContainsAny(s, "\x1b\n\u202e") || !strings.HasPrefix(s, linePrefix) {
			t.Errorf("%q", s)
		}
	}
	if s := commandLine(&belljar.ExecEvent{Path: "the line x", Argv: []string{"x"}}); strings.HasPrefix(s, linePrefix) {
		t.Errorf("a program is taken for a line: %q", s)
	}
}
