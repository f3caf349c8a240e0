package policy

import (
	"strings"
	"testing"
)

// Faults of rules for commands are found where they stand.
func TestCommandFaults(t *testing.T) {
	for text, want := range map[string]string{
		`commands: {allow: [""]}`:                                      "the pattern is empty",
		`commands: {allow: ["'x"]}`:                                    "a quote without its end",
		`commands: {allow: [{reason: x}]}`:                             "a rule without a pattern",
		`commands: {allow: [{pattern: ls, patern: x}]}`:                "unknown key",
		`commands: {deny: [{pattern: sudo *, match: [ls]}]}`:           "does not match this line",
		`commands: {deny: [{pattern: sudo *, not_match: [sudo id]}]}`:  "matches this line",
		`commands: {ask: [{pattern: git *, match: ["git push; ls"]}]}`: "one simple command",
		`commands: {context: {dir: src}}`:                              "is not absolute",
		`commands: {context: {folder: /src}}`:                          "unknown key",
		`commands: {denies: [x]}`:                                      "unknown key",
		`commands: [ls]`:                                               "expected a mapping",
	} {
		_, faults := parse("version: 1\n"+text+"\n", layerUser)
		if !strings.Contains(faults.Error(), want) {
			t.Errorf("%s: %v, want %q", text, faults, want)
		}
	}
}

// Rules keep their order, reason and verdict; a good rule has no fault.
func TestCommandRules(t *testing.T) {
	d, faults := parse("version: 1\ncommands:\n  allow: [ls *, {pattern: npm run *, match: [npm run x], not_match: [npm i]}]\n  deny: [{pattern: sudo *, reason: no}]\n", layerUser)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s := newState()
	mergeDocument(s, d)
	c := build(s, &paths{}, nil).Commands()
	if len(c.Rules) != 3 || c.Rules[1].Pattern != "npm run *" || c.Rules[2].Verdict != "deny" || c.Rules[2].Reason != "no" || c.Rules[2].Origin.Line != 4 {
		t.Errorf("rules: %+v", c.Rules)
	}
}
