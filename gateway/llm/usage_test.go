package llm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

const (
	anthropicStream = "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":200,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3},\"output_tokens\":1}}}\r\n\r\n" +
		": ping\r\n\r\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"{\\\"usage\\\":{\\\"output_tokens\\\":99999}} \\n\\ndata: {}\"}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":77}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	chatStream     = "data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\ndata:{\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":4,\"total_tokens\":34,\"prompt_tokens_details\":{\"cached_tokens\":20}}}\n\ndata: [DONE]\n\n"
	responseStream = "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\ndata: {\"type\":\"response.completed\",\ndata: \"response\":{\"output\":[{\"usage\":{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":12,\"input_tokens_details\":{\"cached_tokens\":2},\"output_tokens\":5,\"total_tokens\":17}}}\n\n"
	geminiStream   = "data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":1,\"totalTokenCount\":9}}\r\rdata: {\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":6,\"thoughtsTokenCount\":5,\"cachedContentTokenCount\":3,\"totalTokenCount\":19}}\r\r"
)

var answers = []struct {
	name, body string
	api        belljar.LLMAPI
	kind       string
	want       belljar.LLMSpent
}{
	{"anthropic stream", anthropicStream, belljar.LLMAnthropic, "text/event-stream; charset=utf-8", belljar.LLMSpent{Input: 10, Output: 77, CacheRead: 200, CacheWrite: 3}},
	{"anthropic", `{"content":[{"usage":{"input_tokens":9}}],"usage":{"input_tokens":4,"output_tokens":5,"cache_read_input_tokens":null}}`, belljar.LLMAnthropic, "application/json", belljar.LLMSpent{Input: 4, Output: 5}},
	{"chat stream", chatStream, belljar.LLMOpenAI, "text/event-stream", belljar.LLMSpent{Input: 10, Output: 4, CacheRead: 20}},
	{"responses stream", responseStream, belljar.LLMOpenAI, "text/event-stream", belljar.LLMSpent{Input: 10, Output: 5, CacheRead: 2}},
	{"embeddings", `{"data":[{"embedding":[0.1,-2e9,3]}],"usage":{"prompt_tokens":7,"total_tokens":7}}`, belljar.LLMOpenAI, "application/json", belljar.LLMSpent{Input: 7}},
	{"gemini stream", geminiStream, belljar.LLMGemini, "text/event-stream", belljar.LLMSpent{Input: 5, Output: 11, CacheRead: 3}},
	{"gemini list", `[{"usageMetadata":{"promptTokenCount":8,"totalTokenCount":9}},` + "\n" + `{"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":2,"totalTokenCount":10}}]`, belljar.LLMGemini, "application/json", belljar.LLMSpent{Input: 8, Output: 2}},
}

func spentOf(api belljar.LLMAPI, kind string, pieces [][]byte, c Call) belljar.LLMSpent {
	u := NewUsage(api, kind)
	for _, p := range pieces {
		_, _ = u.Write(p)
	}
	return u.Spent(c)
}

var whole = Call{Input: 1000, Output: 2000, Status: 200, Whole: true, Readable: true}

func TestUsage(t *testing.T) {
	for _, a := range answers {
		if got := spentOf(a.api, a.kind, [][]byte{[]byte(a.body)}, whole); got != a.want {
			t.Errorf("%s: %+v, want %+v", a.name, got, a.want)
		}
		single := bytes.SplitAfter([]byte(a.body), nil)
		if got := spentOf(a.api, a.kind, single, whole); got != a.want {
			t.Errorf("%s, byte by byte: %+v, want %+v", a.name, got, a.want)
		}
	}
}

// Where the answer breaks off, is encoded or does not tell, what it may have been counts.
func TestUsageThatIsNotTold(t *testing.T) {
	broken := whole
	broken.Whole = false
	cut := anthropicStream[:strings.Index(anthropicStream, "event: message_delta")]
	slow := broken
	slow.Took = time.Minute
	const chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\n"
	encoded := whole
	encoded.Readable = false
	none := Call{Input: 1000, Output: 2000}
	for _, c := range []struct {
		name, body string
		api        belljar.LLMAPI
		call       Call
		want       belljar.LLMSpent
	}{
		{"cut", cut, belljar.LLMAnthropic, broken, belljar.LLMSpent{Input: 10, Output: int64(len(cut)), CacheRead: 200, CacheWrite: 3, Estimated: true}},
		{"cut at the end", anthropicStream, belljar.LLMAnthropic, broken, belljar.LLMSpent{Input: 10, Output: 77, CacheRead: 200, CacheWrite: 3}},
		{"cut before the end", anthropicStream[:len(anthropicStream)-9], belljar.LLMAnthropic, broken, belljar.LLMSpent{Input: 10, Output: int64(len(anthropicStream)) - 9, CacheRead: 200, CacheWrite: 3, Estimated: true}},
		{"usage in every chunk, cut", chunk, belljar.LLMOpenAI, slow, belljar.LLMSpent{Input: 5, Output: 2000, Estimated: true}},
		{"usage in every chunk", chunk + strings.Replace(chunk, `ns":1`, `ns":9`, 1), belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 5, Output: 9}},
		{"chat cut at the end", chunk + "data: [DONE]\n\n", belljar.LLMOpenAI, slow, belljar.LLMSpent{Input: 5, Output: 1}},
		{"a word like the end", strings.Replace(chunk, `"a"`, `"[DONE]"`, 1) + "data: {\"x\":[D\n\ndata: [[D", belljar.LLMOpenAI, slow, belljar.LLMSpent{Input: 5, Output: 2000, Estimated: true}},
		{"response cut at the end", responseStream, belljar.LLMOpenAI, slow, belljar.LLMSpent{Input: 10, Output: 5, CacheRead: 2}},
		{"response in progress", strings.ReplaceAll(responseStream, "response.completed", "response.in_progress"), belljar.LLMOpenAI, slow, belljar.LLMSpent{Input: 10, Output: 2000, CacheRead: 2, Estimated: true}},
		{"gemini cut", geminiStream[:len(geminiStream)-9], belljar.LLMGemini, broken, belljar.LLMSpent{Input: 5, Output: int64(len(geminiStream) - 9), CacheRead: 3, Estimated: true}},
		{"long", strings.Repeat("data: {}\n\n", 900), belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 1000, Output: 2000, Estimated: true}},
		{"empty", "", belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 1000, Estimated: true}},
		{"encoded", "xxx", belljar.LLMOpenAI, encoded, belljar.LLMSpent{Input: 1000, Output: 2000, Estimated: true}},
		{"thinking", "data: {}\n\n", belljar.LLMOpenAI, Call{Input: 1000, Output: 2000, Status: 200, Readable: true, Took: 2 * time.Second}, belljar.LLMSpent{Input: 1000, Output: 1010, Estimated: true}},
		{"no answer", "", belljar.LLMOpenAI, none, belljar.LLMSpent{Input: 1000, Output: 2000, Estimated: true}},
		{"refused by the server", `{"error":{}}`, belljar.LLMOpenAI, Call{Input: 1000, Output: 2000, Status: 529, Whole: true, Readable: true}, belljar.LLMSpent{}},
		{"hostile", `{"usage":{"input_tokens":-5,"output_tokens":99999999999999999999999999,"prompt_tokens":1e3,"completion_tokens":1.5}}`, belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 1000, Output: 116, Estimated: true}},
		{"no JSON", `<html>"usage":{"input_tokens":1}`, belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 1000, Output: 32, Estimated: true}},
		{"largest", `{"usage":{"input_tokens":5,"input_tokens":2,"output_tokens":1000000000000}}`, belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 5, Output: 1000000000000}},
		{"deep", strings.Repeat(`{"usage":`, 300) + `{"input_tokens":1}` + strings.Repeat("}", 300), belljar.LLMOpenAI, whole, belljar.LLMSpent{Input: 1000, Output: 2000, Estimated: true}},
	} {
		if got := spentOf(c.api, map[bool]string{true: "text/event-stream"}[strings.HasPrefix(c.body, "data:") || strings.HasPrefix(c.body, "event:")], [][]byte{[]byte(c.body)}, c.call); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// FuzzUsage: what an answer used does not depend on how it is cut into pieces, and is
// within bounds.
func FuzzUsage(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.body), uint8(strings.Index("aog", string(a.api[0]))), a.kind != "application/json", uint64(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, api uint8, stream bool, seed uint64) {
		kind := map[bool]string{true: "text/event-stream"}[stream]
		a := belljar.LLMAPIs()[int(api)%3]
		want := spentOf(a, kind, [][]byte{body}, whole)
		r := rand.New(rand.NewPCG(seed, 1))
		var pieces [][]byte
		for rest := body; len(rest) > 0; {
			n := 1 + r.IntN(min(len(rest), 40))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got := spentOf(a, kind, pieces, whole); got != want {
			t.Fatalf("%+v in pieces, %+v at once: %q", got, want, body)
		}
		for _, n := range []int64{want.Input, want.Output, want.CacheRead, want.CacheWrite} {
			if n < 0 || n > 3*mostTokens {
				t.Fatalf("%+v of %q", want, body)
			}
		}
	})
}

// What a usage holds does not grow with what it reads.
func TestUsageIsBounded(t *testing.T) {
	u := NewUsage(belljar.LLMAnthropic, "text/event-stream")
	long := []byte("data: {\"" + strings.Repeat("k", 1<<16) + "\":[" + strings.Repeat("[", 1<<16))
	for range 100 {
		_, _ = u.Write(long)
	}
	if n := cap(u.scan.stack) + cap(u.scan.key) + len(u.most); n > 4096 {
		t.Errorf("it holds %d", n)
	}
	allocated := testing.AllocsPerRun(10, func() { _, _ = u.Write(long) })
	if allocated > 1 {
		t.Errorf("%v allocations", allocated)
	}
}

func BenchmarkUsage(b *testing.B) {
	event := []byte("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"some words of an answer\"}}\n\n")
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	u := NewUsage(belljar.LLMAnthropic, "text/event-stream")
	for b.Loop() {
		_, _ = u.Write(event)
	}
}

func BenchmarkJudge(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"model":"claude-x","max_tokens":32000,"messages":[`)
	for i := range 400 {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"%d","content":[{"type":"text","text":%q}]}]}`, i, strings.Repeat("package main\nfunc main() { }\n", 60))
	}
	s.WriteString(`]}`)
	body := []byte(s.String())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, no := Judge(body, options(belljar.LLMAnthropic, "messages")); no != nil {
			b.Fatal(no.Why)
		}
	}
}
