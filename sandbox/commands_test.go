package sandbox

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// TestCommandLine: one answer is about one command, whatever it is called and however long
// it is.
func TestCommandLine(t *testing.T) {
	long := strings.Repeat("x", 2*maxLine)
	events := []belljar.ExecEvent{
		{Path: "/bin/touch", Argv: []string{"touch", "a"}},
		{Path: "/bin/touch", Argv: []string{"touch", "a"}, Dir: "/w"},
		{Path: "/bin/touch", Argv: []string{"touch", "a"}, Dir: "/w)"},
		{Path: "/bin/touch", Argv: []string{"other", "a"}},
		{Path: "/bin/touch", Called: "/x/other", Argv: []string{"touch", "a"}},
		{Path: "/bin/touch", Argv: []string{"touch", "a (called as \"other\")"}},
		{Path: "/bin/touch", Argv: []string{"touch", "a", "b"}},
		{Path: "/bin/touch", Argv: []string{"touch", "a b"}},
		{Path: "/bin/touch", Argv: []string{"touch", "\"a", "b\""}},
		{Path: "/bin/touch", Argv: []string{"touch", "\ufffd"}, Digest: "1"},
		{Path: "/bin/touch", Argv: []string{"touch", "\ufffd"}, Digest: "2"},
		{Path: "/bin/touch", Argv: []string{"touch", long}, Digest: "3"},
		{Path: "/bin/touch", Argv: []string{"touch", long + "y"}, Digest: "4"},
		{Path: "/bin/touch", Argv: []string{"touch", "a"}, Truncated: 9, Digest: "5"},
		{Path: "/bin/touch", Argv: []string{"touch", "a"}, Truncated: 9, Digest: "6"},
	}
	seen := map[string]int{}
	for i := range events {
		line := commandLine(&events[i])
		if j, ok := seen[line]; ok {
			t.Errorf("%+v and %+v are both %q", events[j], events[i], line)
		}
		if len(line) > maxLine+150 || strings.ContainsAny(line, "\x1b\n") {
			t.Errorf("%q", line)
		}
		seen[line] = i
	}
	if line := commandLine(&belljar.ExecEvent{Path: "/bin/x", Argv: []string{"x", "\x1b[31m\n"}}); strings.ContainsAny(line, "\x1b\n") {
		t.Errorf("%q", line)
	}
}
