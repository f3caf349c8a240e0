package llm

import (
	"mime"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// A Usage counts what an answer says that it used. It is used by one goroutine at a time.
type Usage struct {
	scan   scanner
	events *events // of a stream of events; nil: one JSON text
	api    belljar.LLMAPI

	most   map[string]int64 // the largest of each number
	final  bool             // what the API says at the end was said, if it is the end
	done   bool             // the API said that nothing follows
	begun  bool             // a message had a part of an answer
	failed bool             // the server said that the call failed, before it began
	bytes  int64
}

// NewUsage counts an answer of the content type.
func NewUsage(api belljar.LLMAPI, contentType string) *Usage {
	u := &Usage{api: api, most: make(map[string]int64, 8)}
	u.scan.number, u.scan.ended = u.number, u.ended
	if kind, _, err := mime.ParseMediaType(contentType); err == nil && kind == "text/event-stream" {
		u.events = &events{scan: &u.scan}
	}
	return u
}

// Write takes a piece of the answer. It never fails.
func (u *Usage) Write(b []byte) (int, error) {
	u.bytes += int64(len(b))
	if u.events != nil {
		u.events.write(b)
	} else {
		u.scan.write(b)
	}
	return len(b), nil
}

// Message ends one message of a WebSocket, which Write took, and says whether a call is
// over with it.
func (u *Usage) Message() (over bool) {
	kind := u.scan.kind
	u.scan.end()
	switch kind {
	case "response.completed", "response.done", "response.incomplete":
		return true
	case "response.failed", "error":
		u.failed = !u.begun
		return true
	case "response.created", "response.queued", "response.in_progress":
	default:
		u.begun = u.begun || strings.HasPrefix(kind, "response.")
	}
	return false
}

// ended is told of every event of a stream, or message, that is over.
func (u *Usage) ended(kind string) {
	switch kind {
	case "message_stop", "response.completed", "response.done", "response.incomplete", "response.failed", doneKind:
		u.done = true
	}
}

// where the numbers are, by API: the places of each.
type places struct{ input, output, read, written, thought, total []string }

func placesOf(api belljar.LLMAPI) places {
	switch api {
	case belljar.LLMAnthropic:
		return places{
			input: []string{"usage.input_tokens", "message.usage.input_tokens"}, output: []string{"usage.output_tokens", "message.usage.output_tokens"},
			read:    []string{"usage.cache_read_input_tokens", "message.usage.cache_read_input_tokens"},
			written: []string{"usage.cache_creation_input_tokens", "message.usage.cache_creation_input_tokens"},
		}
	case belljar.LLMOpenAI:
		return places{
			input:  []string{"usage.input_tokens", "usage.prompt_tokens", "response.usage.input_tokens"},
			output: []string{"usage.output_tokens", "usage.completion_tokens", "response.usage.output_tokens"},
			read: []string{
				"usage.input_tokens_details.cached_tokens", "usage.prompt_tokens_details.cached_tokens", "response.usage.input_tokens_details.cached_tokens",
			},
			total: []string{"usage.total_tokens", "response.usage.total_tokens"},
		}
	}
	return places{
		input: []string{"usageMetadata.promptTokenCount"}, output: []string{"usageMetadata.candidatesTokenCount"},
		thought: []string{"usageMetadata.thoughtsTokenCount", "usageMetadata.toolUsePromptTokenCount"},
		read:    []string{"usageMetadata.cachedContentTokenCount"}, total: []string{"usageMetadata.totalTokenCount"},
	}
}

func (u *Usage) number(path string, n int64) {
	p := placesOf(u.api)
	for _, l := range [][]string{p.input, p.output, p.read, p.written, p.thought, p.total} {
		for _, known := range l {
			if path != known {
				continue
			}
			u.most[path] = max(u.most[path], n)
			// Anthropic's streams begin with what is known by then.
			u.final = u.final || !strings.HasPrefix(path, "message.")
		}
	}
}

// A Call is what is known of a call beside its answer's body.
type Call struct {
	Input, Output int64 // what was estimated
	Status        int   // of the answer; 0: there was none
	Whole         bool  // the answer was read to its end
	Readable      bool  // it was not encoded
	Took          time.Duration
}

// hiddenRate is how many tokens a second a model may say that the answer does not show:
// what it thinks is left out of some.
const hiddenRate = 500

// Spent is what a call came to. Where the answer does not tell, it is what it may have
// been: what was estimated of the input, and of the output as much as there are bytes of
// the answer, and as a model can think in that time, at most what was estimated.
func (u *Usage) Spent(c Call) belljar.LLMSpent {
	if u.events == nil && c.Whole {
		u.scan.end()
	}
	p := placesOf(u.api)
	sum := func(l []string) (n int64) {
		for _, path := range l {
			n = max(n, u.most[path])
		}
		return n
	}
	s := belljar.LLMSpent{Input: sum(p.input), Output: sum(p.output), CacheRead: sum(p.read), CacheWrite: sum(p.written)}
	for _, path := range p.thought {
		s.Output += u.most[path]
	}
	if u.api != belljar.LLMAnthropic { // elsewhere the input holds what was cached
		s.CacheRead = min(s.CacheRead, s.Input)
		s.Input -= s.CacheRead
		s.Output = max(s.Output, sum(p.total)-s.Input-s.CacheRead)
	}
	switch {
	case (c.Status >= 400 || u.failed) && !u.final:
		return belljar.LLMSpent{} // the server did nothing
	case u.final && c.Readable && (c.Whole || u.done): // before, it may be the sum so far
		return s
	}
	s.Estimated = true
	if s.Input+s.CacheRead+s.CacheWrite == 0 {
		s.Input = c.Input
	}
	out := c.Output
	if c.Readable && c.Status != 0 {
		out = min(out, u.bytes+int64(c.Took.Seconds()*hiddenRate))
	}
	s.Output = max(s.Output, out)
	return s
}
