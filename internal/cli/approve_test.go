package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/approval"
)

// TestQuestionsShowTheirRules: two questions about one request that two rules ask are told
// apart, and nothing that they hold gets at the terminal.
func TestQuestionsShowTheirRules(t *testing.T) {
	s := approval.Subject{Host: "api.acme.dev", Port: 443, Method: "GET", Path: "/x"}
	at := func(text string, line int) *belljar.Origin {
		return &belljar.Origin{Layer: "user", File: "/home/dev/policy.yaml", Line: line, Text: text}
	}
	var out bytes.Buffer
	err := printQuestions(&out, []waiting{
		{"otter", approval.Question{ID: "1", Subject: s, Rule: at("{host: api.acme.dev, query: {a: [b]}, ask: true}", 7), Waiting: 1, Asked: time.Now()}},
		{"otter", approval.Question{ID: "2", Subject: s, Rule: at("{host: api.acme.dev, ask: true} \x1b[31m", 8), Waiting: 1, Asked: time.Now(), Note: "please"}},
		{"otter", approval.Question{ID: "3", Subject: s, Proposed: true, Asked: time.Now()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{
		"asked by: {host: api.acme.dev, query: {a: [b]}, ask: true} (user /home/dev/policy.yaml:7)", "asked by: {host: api.acme.dev, ask: true} ", "(user /home/dev/policy.yaml:8)", `it says: "please"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "asked by") != 2 || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}
