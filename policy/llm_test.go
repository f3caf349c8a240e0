package policy

import (
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

// What is wrong with an entry of llm is said with its place.
func TestFaultsOfLLM(t *testing.T) {
	for entry, want := range map[string]string{
		`{api: openai}`:                                   "an entry needs host",
		`{host: a.test}`:                                  "an entry needs api",
		`{host: a.test, api: opnai}`:                      `did you mean "openai"?`,
		`{host: 1.2.3.4, api: openai}`:                    "to names, not to addresses",
		`{host: a.test, api: openai, models: []}`:         "no models",
		`{host: a.test, api: openai, models: ["a b"]}`:    "no name of a model",
		`{host: a.test, api: openai, tokens: 0}`:          "leave it out",
		`{host: a.test, api: openai, tokens: 5MB}`:        "such as 5M",
		`{host: a.test, api: openai, tokens: -1}`:         "such as 5M",
		`{host: a.test, api: openai, requests: 1.5}`:      "whole number",
		`{host: a.test, api: openai, fetch: true}`:        "expected a word",
		`{host: a.test, api: openai, fetch: yes-please}`:  "none of deny, allow",
		`{host: "*.a.test", api: openai, endpoint: true}`: "stands for one host",
		`{host: a.test, api: openai, steer: 1}`:           "steer",
		`{host: a.test, api: openai, budget: 1}`:          "unknown key",
	} {
		_, faults := parse("version: 1\nllm: ["+entry+"]\n", layerUser)
		if !strings.Contains(faults.Error(), want) {
			t.Errorf("%s: %v", entry, faults)
		}
	}
	for in, want := range map[string]string{"5M": "5M", "1.5k": "1500", "2000000": "2M", "unlimited": "unlimited", "0.5G": "500M"} {
		if n, err := parseTokens(in); err != nil || formatTokens(n) != want {
			t.Errorf("%s: %d, %v", in, n, err)
		}
	}
}

func llmOf(p *Policy) (l []string) {
	for _, i := range p.Network().LLM {
		l = append(l, i.Origin.Layer+" "+llmText(i))
	}
	return l
}

// A user's own entry stands for the preset's; a project's and the ceiling's hold as well.
func TestLayersOfLLM(t *testing.T) {
	const user = "version: 1\nextends: [claude]\nllm: [{host: api.anthropic.com, api: anthropic, fetch: allow, tokens: 5M}]\n"
	b := newBench(t)
	b.opts.UserFile = b.file("user.yaml", user)
	if got := llmOf(b.must()); len(got) != 1 || got[0] != `user {host: "api.anthropic.com", api: anthropic, tokens: 5M, fetch: allow}` {
		t.Errorf("%q", got)
	}
	b.opts.ProjectFile = b.file("src/p/belljar.yaml", "version: 1\nllm: [{host: api.anthropic.com, api: anthropic, tokens: 1M}, {host: api.openai.com, api: openai}]\n")
	p := b.must()
	if got := llmOf(p); len(got) != 3 || got[1] != `project {host: "api.anthropic.com", api: anthropic, tokens: 1M}` {
		t.Errorf("%q", got)
	}
	n := p.Network()
	for path, allowed := range map[string]bool{"/v1/messages": true, "/v1/files": false, "/api/x": true, "/v1/responses": false} {
		if d := n.Decide(belljar.NetRequest{Host: "api.anthropic.com", Port: 443, Method: "POST", Path: path}); d.Allow != allowed {
			t.Errorf("%s: %+v", path, d)
		}
	}
	if !n.Sees("api.anthropic.com", 443) || !n.Sees("api.anthropic.com", 80) {
		t.Error("its requests are not seen")
	}
	for _, project := range []string{
		"llm: []", "llm: [{host: api.anthropic.com, api: openai}]", "llm: [{host: api.anthropic.com, api: anthropic, endpoint: true}]", "limits: {tokens: unlimited}",
	} {
		b := newBench(t)
		b.opts.UserFile = b.file("user.yaml", user+"limits: {tokens: 9M}\n")
		b.opts.ProjectFile = b.file("src/p/belljar.yaml", "version: 1\n"+project+"\n")
		if _, err := Load(b.opts); belljar.KindOf(err) != belljar.KindRefused {
			t.Errorf("%s: %v", project, err)
		}
	}
}

func TestCeilingOfLLM(t *testing.T) {
	s := newState()
	c, faults := parse("version: 1\nllm: [{host: \"*.a.test\", api: openai, models: [m]}]\n", layerCeiling)
	d, more := parse("version: 1\nllm: [{host: x.a.test, api: anthropic}, {host: x.a.test, api: openai}, {host: b.test, api: gemini}]\n", layerUser)
	if len(faults)+len(more) > 0 {
		t.Fatal(faults, more)
	}
	var r report
	llmKeyRule{}.merge(s, d)
	llmKeyRule{}.limit(s, c, &r, func(string, mark) {})
	if len(r.faults) != 1 || len(s.llm) != 3 || s.llm[2].value.Host != "*.a.test" {
		t.Errorf("%v %+v", r.faults, s.llm)
	}
}
