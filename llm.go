package belljar

import (
	"slices"
	"strings"
)

// LLMHost is the name of the gateway's own endpoint for model APIs, in clear.
const LLMHost = "llm.belljar"

// LLMAPI names the API that a model's host speaks.
type LLMAPI string

// The APIs.
const (
	LLMAnthropic LLMAPI = "anthropic" // messages
	LLMOpenAI    LLMAPI = "openai"    // responses, chat completions, embeddings
	LLMGemini    LLMAPI = "gemini"    // generateContent
)

// LLMAPIs lists the APIs.
func LLMAPIs() []LLMAPI { return []LLMAPI{LLMAnthropic, LLMOpenAI, LLMGemini} }

// An LLMRule confines the requests to a host to those of a model's API. It allows no
// host by itself. Several rules for one host and API hold together.
type LLMRule struct {
	BoundHost        // as in [Credential.Hosts]
	API       LLMAPI `json:"api"`
	// Models are patterns of [MatchModel]; empty: any.
	Models []string `json:"models,omitempty"`
	// Tokens and Requests are what may be spent in the sandbox's life; 0: any number.
	Tokens   int64 `json:"tokens,omitempty"`
	Requests int64 `json:"requests,omitempty"`
	// Fetch lets the provider fetch for the sandbox: URLs, files, its own tools, other
	// servers.
	Fetch bool `json:"fetch,omitempty"`
	// Steer adds a note for the model to requests once most of Tokens is spent.
	Steer bool `json:"steer,omitempty"`
	// Endpoint makes the host answer at http://[LLMHost]/API as well.
	Endpoint bool   `json:"endpoint,omitempty"`
	Origin   Origin `json:"origin"`
}

// LLMSpent is what requests to models used, in tokens.
type LLMSpent struct {
	Model string `json:"model,omitempty"`
	// Input is without what was read from or written to a cache of the provider.
	Input      int64 `json:"input"`
	Output     int64 `json:"output"`
	CacheRead  int64 `json:"cache_read,omitempty"`
	CacheWrite int64 `json:"cache_write,omitempty"`
	// Estimated says that the server did not tell: Input and Output are what it may
	// have been at most.
	Estimated bool `json:"estimated,omitempty"`
}

// Total is all of it.
func (s LLMSpent) Total() int64 { return s.Input + s.Output + s.CacheRead + s.CacheWrite }

// LLMKind is what a path of a model's API is for.
type LLMKind string

// The kinds of paths.
const (
	LLMGenerate LLMKind = "generate" // costs tokens; the body is judged
	LLMCount    LLMKind = "count"    // costs none; the body is judged
	LLMRead     LLMKind = "read"     // lists models
	LLMFiles    LLMKind = "files"    // what the provider keeps; only where it may fetch
)

// An LLMPath is what a request asks of a model's API.
type LLMPath struct {
	Kind  LLMKind
	Call  string // messages, responses, chat, completions, embeddings, content, embed; of what is judged
	Model string // where the path names it
	// Socket says that messages of a WebSocket ask, each as a request would.
	Socket bool
}

// ParseLLMPath says what a method and canonical path are in an API.
func ParseLLMPath(api LLMAPI, method, path string) (LLMPath, bool) {
	switch api {
	case LLMAnthropic:
		return anthropicPath(method, path)
	case LLMOpenAI:
		return openAIPath(method, path)
	case LLMGemini:
		return geminiPath(method, path)
	}
	return LLMPath{}, false
}

func anthropicPath(method, path string) (LLMPath, bool) {
	rest, ok := strings.CutPrefix(path, "/v1/")
	switch {
	case !ok:
	case method == "POST" && rest == "messages":
		return LLMPath{Kind: LLMGenerate, Call: "messages"}, true
	case method == "POST" && rest == "messages/count_tokens":
		return LLMPath{Kind: LLMCount, Call: "messages"}, true
	case reads(method) && atOrBelow(rest, "models"):
		return LLMPath{Kind: LLMRead}, true
	case atOrBelow(rest, "files"):
		return LLMPath{Kind: LLMFiles}, true
	}
	return LLMPath{}, false
}

// openAIPrefixes are where servers that speak OpenAI's API have it.
var openAIPrefixes = []string{"/v1/", "/api/v1/", "/openai/v1/", "/backend-api/codex/"}

func openAIPath(method, path string) (LLMPath, bool) {
	for _, prefix := range openAIPrefixes {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		posts := map[string]LLMPath{
			"responses":              {Kind: LLMGenerate, Call: "responses"},
			"responses/compact":      {Kind: LLMGenerate, Call: "responses"},
			"responses/input_tokens": {Kind: LLMCount, Call: "responses"},
			"chat/completions":       {Kind: LLMGenerate, Call: "chat"},
			"completions":            {Kind: LLMGenerate, Call: "completions"},
			"embeddings":             {Kind: LLMGenerate, Call: "embeddings"},
		}
		p, ok := posts[rest]
		switch {
		case ok && method == "POST":
			return p, true
		case rest == "responses" && method == "GET": // a WebSocket, or it is refused
			return LLMPath{Kind: LLMGenerate, Call: "responses", Socket: true}, true
		case reads(method) && atOrBelow(rest, "models"):
			return LLMPath{Kind: LLMRead}, true
		case atOrBelow(rest, "files"), atOrBelow(rest, "uploads"):
			return LLMPath{Kind: LLMFiles}, true
		}
	}
	return LLMPath{}, false
}

func geminiPath(method, path string) (LLMPath, bool) {
	rest := ""
	for _, version := range []string{"/v1beta/", "/v1/", "/v1alpha/"} {
		if after, ok := strings.CutPrefix(path, version); ok {
			rest = after
			break
		}
		if after, ok := strings.CutPrefix(path, "/upload"+version); ok && atOrBelow(after, "files") {
			return LLMPath{Kind: LLMFiles}, true
		}
	}
	name, verb, called := strings.Cut(rest, ":")
	model, isModel := strings.CutPrefix(name, "models/")
	switch {
	case rest == "":
	case called && method == "POST" && isModel && model != "" && !strings.ContainsAny(model, "/%"):
		kinds := map[string]LLMPath{
			"generateContent":       {Kind: LLMGenerate, Call: "content"},
			"streamGenerateContent": {Kind: LLMGenerate, Call: "content"},
			"countTokens":           {Kind: LLMCount, Call: "content"},
			"embedContent":          {Kind: LLMGenerate, Call: "embed"},
			"batchEmbedContents":    {Kind: LLMGenerate, Call: "embed"},
		}
		p, ok := kinds[verb]
		p.Model = model
		return p, ok
	case !called && reads(method) && atOrBelow(rest, "models"):
		return LLMPath{Kind: LLMRead}, true
	case !called && atOrBelow(rest, "files"):
		return LLMPath{Kind: LLMFiles}, true
	}
	return LLMPath{}, false
}

func reads(method string) bool { return method == "GET" || method == "HEAD" }

// atOrBelow says whether a path is a folder or what lies in it, in its plain spelling.
func atOrBelow(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || len(rest) > 1 && rest[0] == '/' && !strings.ContainsAny(rest, "%;:\\"))
}

// MatchModel says whether the name of a model matches a pattern, in which "*" stands for
// any run of characters.
func MatchModel(pattern, model string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == model
	}
	rest, ok := strings.CutPrefix(model, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, last)
}

// Confines says whether requests to host and port are judged by the rule. It counts for
// the usual ports of HTTP as well.
func (l *LLMRule) Confines(host string, port uint16) bool {
	rule := NetRule{Host: l.Host}
	usual := (port == 443 || port == 80) && host != Localhost
	return (l.Port == port || usual) && rule.names(NetRequest{Host: host, Port: port})
}

// LLMRules lists the rules that judge requests to host and port, in order.
func (n *Network) LLMRules(host string, port uint16) (rules []*LLMRule) {
	for i := range n.LLM {
		if n.LLM[i].Confines(host, port) {
			rules = append(rules, &n.LLM[i])
		}
	}
	return rules
}

// LLMCall finds what a request asks of the models at its host, and the rules that judge
// it. Not ok: the host's rules know no such request, or there are none.
func (n *Network) LLMCall(r NetRequest) (rules []*LLMRule, p LLMPath, ok bool) {
	all := n.LLMRules(r.Host, r.Port)
	for _, api := range LLMAPIs() {
		of := slices.DeleteFunc(slices.Clone(all), func(l *LLMRule) bool { return l.API != api })
		p, ok := ParseLLMPath(api, r.Method, r.Path)
		if !ok || len(of) == 0 {
			continue
		}
		if p.Kind == LLMFiles && slices.ContainsFunc(of, func(l *LLMRule) bool { return !l.Fetch }) {
			continue
		}
		return of, p, true
	}
	return nil, LLMPath{}, false
}

// outsideModels says whether a request goes to a host of models but asks for something
// else: then only a rule that names paths allows it.
func (n *Network) outsideModels(r NetRequest) bool {
	if r.Method == "" || len(n.LLM) == 0 || len(n.LLMRules(r.Host, r.Port)) == 0 {
		return false
	}
	_, _, ok := n.LLMCall(r)
	return !ok
}
