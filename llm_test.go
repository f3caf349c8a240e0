package belljar

import "testing"

func TestParseLLMPath(t *testing.T) {
	for _, c := range []struct {
		api          LLMAPI
		method, path string
		want         LLMPath
		ok           bool
	}{
		{LLMAnthropic, "POST", "/v1/messages", LLMPath{Kind: LLMGenerate, Call: "messages"}, true},
		{LLMAnthropic, "GET", "/v1/messages", LLMPath{}, false},
		{LLMAnthropic, "POST", "/v1/messages/batches", LLMPath{}, false},
		{LLMAnthropic, "GET", "/v1/models/claude-x", LLMPath{Kind: LLMRead}, true},
		{LLMAnthropic, "DELETE", "/v1/models/claude-x", LLMPath{}, false},
		{LLMAnthropic, "DELETE", "/v1/files/f", LLMPath{Kind: LLMFiles}, true},
		{LLMAnthropic, "POST", "/v1/filesystem", LLMPath{}, false},
		{LLMAnthropic, "POST", "/v1/messages%3Fa", LLMPath{}, false},
		{LLMOpenAI, "POST", "/v1/chat/completions", LLMPath{Kind: LLMGenerate, Call: "chat"}, true},
		{LLMOpenAI, "POST", "/backend-api/codex/responses", LLMPath{Kind: LLMGenerate, Call: "responses"}, true},
		{LLMOpenAI, "GET", "/v1/responses", LLMPath{Kind: LLMGenerate, Call: "responses", Socket: true}, true},
		{LLMOpenAI, "GET", "/v1/responses/r", LLMPath{}, false},
		{LLMOpenAI, "POST", "/v1/batches", LLMPath{}, false},
		{LLMOpenAI, "POST", "/responses", LLMPath{}, false},
		{LLMGemini, "POST", "/v1beta/models/gemini-x:streamGenerateContent", LLMPath{Kind: LLMGenerate, Call: "content", Model: "gemini-x"}, true},
		{LLMGemini, "POST", "/v1beta/models/gemini-x:countTokens", LLMPath{Kind: LLMCount, Call: "content", Model: "gemini-x"}, true},
		{LLMGemini, "POST", "/v1beta/models/gemini-x:predict", LLMPath{Model: "gemini-x"}, false},
		{LLMGemini, "POST", "/v1beta/models/a/b:generateContent", LLMPath{}, false},
		{LLMGemini, "POST", "/v1beta/models/a%2Fb:generateContent", LLMPath{}, false},
		{LLMGemini, "POST", "/v1beta/models/:generateContent", LLMPath{}, false},
		{LLMGemini, "POST", "/v1beta/tunedModels/a:generateContent", LLMPath{}, false},
		{LLMGemini, "POST", "/v1beta/models/a%3AgenerateContent", LLMPath{}, false},
		{LLMGemini, "GET", "/v1beta/models", LLMPath{Kind: LLMRead}, true},
		{LLMGemini, "POST", "/upload/v1beta/files", LLMPath{Kind: LLMFiles}, true},
		{LLMGemini, "POST", "/v1beta/cachedContents", LLMPath{}, false},
		{"other", "POST", "/v1/messages", LLMPath{}, false},
	} {
		if got, ok := ParseLLMPath(c.api, c.method, c.path); got != c.want || ok != c.ok {
			t.Errorf("%s %s %s: %+v %v, want %+v %v", c.api, c.method, c.path, got, ok, c.want, c.ok)
		}
	}
}

// A host of models is confined on its own port and the usual ones, under every name that
// an entry means; beside the API only rules with paths count.
func TestModelsConfine(t *testing.T) {
	n := Network{
		Rules: []NetRule{
			{Host: "*.a.test", Ports: []uint16{443, 80, 8443, 9000}}, {Host: "x.a.test", Ports: []uint16{443}, Paths: []string{"/own/**"}},
			{Host: "y.a.test", Ports: []uint16{443}, Paths: []string{"/asks/**"}, Ask: true},
		},
		LLM: []LLMRule{
			{BoundHost: BoundHost{Host: "*.a.test", Port: 8443}, API: LLMAnthropic},
			{BoundHost: BoundHost{Host: "x.a.test", Port: 443}, API: LLMAnthropic, Fetch: true},
		},
	}
	for _, c := range []struct {
		host, path string
		port       uint16
		allow, ask bool
	}{
		{"x.a.test", "/v1/messages", 443, true, false}, {"x.a.test", "/v1/messages", 80, true, false}, {"x.a.test", "/v1/messages", 8443, true, false},
		{"x.a.test", "/other", 443, false, false}, {"x.a.test", "/other", 80, false, false}, {"x.a.test", "/other", 8443, false, false}, {"x.a.test", "/other", 9000, true, false},
		{"x.a.test", "/own/x", 443, true, false}, {"x.a.test", "/own/x", 80, false, false}, {"y.a.test", "/own/x", 443, false, false},
		{"y.a.test", "/asks/x", 443, false, true}, {"x.a.test", "/v1/files", 443, false, false}, // one entry denies it
		{"x.a.test", "/v1/responses", 443, false, false},
	} {
		d := n.Decide(NetRequest{Host: c.host, Port: c.port, Method: "POST", Path: c.path})
		if d.Allow != c.allow || d.Ask != c.ask {
			t.Errorf("%s:%d%s: %+v", c.host, c.port, c.path, d)
		}
		if !d.Allow && !d.Ask && (!d.Missing || d.Fix == "") {
			t.Errorf("%s:%d%s: nothing would allow it: %+v", c.host, c.port, c.path, d)
		}
		if sees := n.Sees(c.host, c.port); sees != (c.port != 9000) {
			t.Errorf("%s:%d: seen: %v", c.host, c.port, sees)
		}
	}
}
