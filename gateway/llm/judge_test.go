package llm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/testenv"
)

func options(api belljar.LLMAPI, call string) Options {
	o := Options{API: api, Call: call}
	if api == belljar.LLMGemini {
		o.Model = "gemini-2.5-pro"
	}
	return o
}

// head is a request's beginning, up to what differs.
var heads = map[string]string{
	"messages":  `{"model":"claude-x","max_tokens":100,"stream":true,`,
	"responses": `{"model":"gpt-x","stream":true,`,
	"chat":      `{"model":"gpt-x","max_completion_tokens":7,"n":3,`,
	"content":   `{"generationConfig":{"maxOutputTokens":9,"candidateCount":2},`,
}

var apis = map[string]belljar.LLMAPI{
	"messages": belljar.LLMAnthropic, "responses": belljar.LLMOpenAI, "chat": belljar.LLMOpenAI, "content": belljar.LLMGemini,
}

// What agents send passes, whether the provider may fetch or not.
func TestOrdinaryRequestsPass(t *testing.T) {
	for call, bodies := range map[string][]string{
		"messages": {
			`"messages":[{"role":"user","content":"hi"}]}`,
			`"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"\ud83d\ude00 \ud800"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},
			  {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"x"},{"type":"tool_use","id":"1","name":"B","input":{"url":"http://x","Type":1,"type":"url","TYPE":2}}]},
			  {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"x"},{"type":"document","source":{"type":"text","data":"y"}}]}]}],
			  "tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"url":{},"URL":{}}}},{"type":"bash_20250124","name":"bash"},{"type":"custom","name":"c","input_schema":{}}],"mcp_servers":[],"metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":10}}`,
		},
		"responses": {
			`"input":"hi"}`,
			`"instructions":"i","previous_response_id":"r","store":false,"input":[{"role":"user","content":"x"},{"type":"message","role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_image","image_url":"data:image/png;base64,AA"},{"type":"input_file","file_data":"data:x","filename":"f"}]},
			  {"type":"function_call","name":"f","arguments":"{}","call_id":"1"},{"type":"function_call_output","call_id":"1","output":"x"},{"type":"custom_tool_call_output","call_id":"1","output":[{"type":"input_text","text":"x"}]},{"type":"reasoning","summary":[],"encrypted_content":"x"},
			  {"type":"additional_tools","tools":[{"type":"custom","name":"exec"}]}],
			  "tools":[{"type":"function","name":"shell","parameters":{"type":"object"}},{"type":"namespace","name":"m","tools":[{"type":"function","name":"g"}]},{"type":"web_search","external_web_access":false},{"type":"local_shell"},{"type":"shell","environment":{"type":"local"}}]}`,
		},
		"chat": {
			`"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}},{"type":"file","file":{"file_data":"x"}},{"type":"file","file":{"file_data":"JVBERi0\/AA+_-==\n"}},{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}`,
		},
		"content": {
			`"contents":[{"role":"user","parts":[{"text":"x"},{"inlineData":{"mimeType":"image/png","data":"AA"}},{"functionResponse":{"name":"f","response":{"fileData":1}}}]}],"systemInstruction":{"parts":[{"text":"s"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}]}`,
			`"contents":{"parts":{"text":"x"}},"system_instruction":{"parts":{"text":"s"}},"tools":[]}`,
		},
	} {
		for _, b := range bodies {
			for _, fetch := range []bool{false, true} {
				o := options(apis[call], call)
				o.Fetch = fetch
				body := heads[call] + b
				f, no := Judge([]byte(body), o)
				if no != nil {
					t.Errorf("%s: %s\n%s", call, no.Why, body)
					continue
				}
				if f.Model() == "" || call == "messages" && (f.MaxOutput != 100 || !f.Stream) {
					t.Errorf("%s: %+v", call, f)
				}
				if in, out := f.Estimate(len(body)); in < 1 || out != map[string]int64{"messages": 100, "responses": defaultOutput, "chat": 21, "content": 18}[call] {
					t.Errorf("%s: estimated %d, %d", call, in, out)
				}
				if !json.Valid([]byte(body)) {
					t.Errorf("not JSON: %s", body)
				}
			}
		}
	}
}

// What makes the provider fetch, run or connect is refused, and passes where it may.
func TestFetchesAreRefused(t *testing.T) {
	for call, bodies := range map[string][]string{
		"messages": {
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://evil"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","url":"http://evil"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"im\u0061ge","sourc\u0065":{"type":"ur\u006c","url":"x"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"x"}}]}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"x"}}]}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"something_new"}]}]}`,
			`"system":[{"type":"image","source":{"type":"url","url":"x"}}],"messages":[]}`,
			`"tools":[{"type":"web_search_20250305","name":"web_search"}]}`,
			`"tools":[{"type":"web_fetch_20250910","name":"w"}]}`,
			`"tools":[{"type":"code_execution_20250825","name":"w"}]}`,
			`"tools":[{"name":"x","type":"mcp_toolset"}]}`,
			`"mcp_servers":[{"type":"url","url":"https://evil","name":"x"}]}`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"https://evil"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"https://evil"}}]}]}`,
			`"container":{"skills":[]}}`, `"container":{}}`, `"something_new":{"url":"https://evil"}}`,
		},
		"responses": {
			`"input":[{"type":"message","content":[{"type":"input_image","image_url":"https://evil/a.png"}]}]}`,
			`"input":[{"content":[{"type":"input_image","file_id":"f"}]}]}`,
			`"input":[{"content":[{"type":"input_file","file_url":"https://evil"}]}]}`,
			`"input":[{"content":[{"type":"input_file","file_id":"f"}]}]}`,
			`"input":[{"type":"function_call_output","output":[{"type":"input_image","image_url":"http://evil"}]}]}`,
			`"input":[{"type":"mcp_approval_response","approve":true}]}`,
			`"input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]}`,
			`"tools":[{"type":"web_search"}]}`, `"tools":[{"type":"web_search","external_web_access":true}]}`,
			`"tools":[{"type":"web_search_preview"}]}`, `"tools":[{"type":"mcp","server_url":"https://evil"}]}`,
			`"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]}`, `"tools":[{"type":"file_search","vector_store_ids":["v"]}]}`,
			`"tools":[{"type":"shell","environment":{"type":"container_auto"}}]}`, `"tools":[{"type":"shell"}]}`,
			`"tools":[{"type":"namespace","tools":[{"type":"mcp"}]}]}`, `"prompt":{"id":"p"}}`, `"prompt":{}}`,
			`"input":[{"content":[{"type":"input_file","file_data":"https://evil/x.pdf"}]}]}`, `"input":[{"content":[{"type":"input_file","file_data":{"url":"x"}}]}]}`,
			`"input":[{"content":[{"type":"input_file","file_data":"\u0068ttps\u003a//evil"}]}]}`, `"input":[{"content":[{"type":"input_file","file_data":"gs\\u003aevil"}]}]}`,
			`"input":[{"content":[{"type":"input_audio","input_audio":{"data":"https://evil","format":"wav"}}]}]}`,
			`"input":[{"content":[{"type":"input_text","text":"x","image_url":"https://evil"}]}]}`, `"input":[{"content":[{"type":"input_text","file_data":"https://evil"}]}]}`,
			`"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"https://evil"}}]}`,
		},
		"chat": {
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://evil"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"DATA:x"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"https://evil/?q=secret"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"url":"https://evil"}}]}]}`, `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"https://evil"}}]}]}`,
			`"messages":[{"role":"user","content":[{"type":"text","text":"x","file":{"url":"https://evil"}}]}]}`,
			`"models":["x/y:online:nitro"]}`, `"models":["perplexity/sonar-pro"]}`, `"models":["groq/compound"]}`, `"fallbacks":["gpt-4o-search-preview"]}`,
			`"web_search_options":{}}`, `"search_parameters":{"mode":"on"}}`, `"enable_search":true}`, `"preset":"x"}`, `"something_new":1}`,
			`"models":["gpt-4o-search-preview"]}`, `"models":["a/b:online"]}`, `"web_search_options":{"search_context_size":"low"}}`, `"plugins":[{"id":"web"}]}`, `"tools":[{"type":"openrouter:web_search"}]}`,
		},
		"content": {
			`"contents":[{"parts":[{"fileData":{"fileUri":"https://evil"}}]}]}`, `"contents":[{"parts":[{"file_data":{"file_uri":"x"}}]}]}`,
			`"contents":{"parts":{"fileData":{}}}}`, `"system_instruction":{"parts":[{"fileData":{}}]}}`,
			`"contents":[{"parts":[{"functionResponse":{"parts":[{"fileData":{}}]}}]}]}`,
			`"somethingNew":{"uri":"https://evil"}}`, `"tools":[{"googleSearch":{}}]}`, `"tools":[{"google_search":{}}]}`, `"tools":[{"urlContext":{}}]}`, `"tools":[{"url_context":{}}]}`,
			`"tools":[{"codeExecution":{}}]}`, `"tools":[{"functionDeclarations":[],"googleSearchRetrieval":{"x":1}}]}`, `"cachedContent":"cachedContents/x"}`,
			`"generateContentRequest":{"contents":[{"parts":[{"fileData":{}}]}]}}`, `"requests":[{"content":{"parts":[{"fileData":{}}]}}]}`,
		},
	} {
		for _, b := range bodies {
			o := options(apis[call], call)
			body := []byte(heads[call] + b)
			if _, no := Judge(body, o); no == nil || !no.Fetch {
				t.Errorf("%s: passes, or for another reason (%v): %s", call, no, body)
			}
			o.Fetch = true
			if _, no := Judge(body, o); no != nil {
				t.Errorf("%s: refused although the provider may fetch: %s: %s", call, no.Why, body)
			}
		}
	}
}

// What two servers could read in two ways is refused, whatever is allowed.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for call, bodies := range map[string][]string{
		"messages": {
			`{"model":"a","model":"b"}`, `{"model":"a","mod\u0065l":"b"}`, `{"model":"a","Model":"b"}`, `{"MODEL":"a"}`, `{"model":"a","MCP_Servers":[]}`,
			`{"model":"a","mcpServers":[{}]}`, `{"model":"a","messages":[{"role":"user","content":"x","content":[]}]}`,
			`{"model":"a","messages":[{"Content":[]}]}`, `{"model":"a","messages":[{"content":[{"type":"text","Source":{}}]}]}`,
			`{"model":"a","messages":[{"content":[{"type":"image","source":{"type":"base64","URL":"x"}}]}]}`,
			`{"model":"a","tools":[{"name":"x","Type":"web_search"}]}`, `{"model":"a","tool` + "\u017f" + `":[]}`, // a long s
			`{"model":"a","metadata":{"x":1,"x":2}}`, "\xef\xbb\xbf" + `{"model":"a"}`, "{\"model\":\"a\xff\"}", `{"model":"a"} {}`, `{"model":"a"}x`,
			`{"model":1}`, `{"model":""}`, `{}`, `[]`, ``, `null`, `{"model":"a",}`, `{'model':'a'}`, `{"model":"a" /* */}`, `{"model":"a","x":01}`, `{"model":"a","x":NaN}`,
			`{"model":"a","x":"\x"}`, "{\"model\":\"a\",\"x\":\"\t\"}", `{"model":"a","x":` + deep + `}`, `{"model":"a","max_tokens":-1}`, `{"model":"a","max_tokens":1e3}`,
			`{"model":"a","max_tokens":"1"}`, `{"model":"a","messages":{}}`, `{"model":"a","tools":{}}`, `{"model":"a","messages":[1]}`, `{"model":"a","messages":[{"content":[1]}]}`,
			`{"model":"a","x":"` + "\x00" + `"}`, `{"model":"a","x":1.}`, `{"model":"a","x":"\u12"}`, `{"model":"a"`,
		},
		"responses": {`{"model":"a","background":true}`, `{"model":"a","models":[1]}`, `{"model":"a","Input":[]}`, `{"model":"a","n":2000}`},
		"content":   {`{"model":"models/other"}`, `{"system_instruction":{},"systemInstruction":{}}`, `{"contents":[{"parts":[{"FileData":{}}]}]}`, `{"Tools":[]}`},
	} {
		for _, body := range bodies {
			o := options(apis[call], call)
			o.Fetch = !strings.Contains(body, "base64") // what then is not looked into
			if f, no := Judge([]byte(body), o); no == nil {
				t.Errorf("%s: %q passes: %+v", call, body, f.Models)
			}
		}
	}
}

// An image costs less than its bytes as text.
func TestEstimateOfImages(t *testing.T) {
	data := strings.Repeat("A", 3_000_000)
	for call, b := range map[string]string{
		"messages":  `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + data + `"}}]}]}`,
		"responses": `"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,` + data + `"}]}]}`,
	} {
		body := heads[call] + b
		f, no := Judge([]byte(body), options(apis[call], call))
		if no != nil {
			t.Fatal(no.Why)
		}
		if in, _ := f.Estimate(len(body)); in < 10_000 || in > 11_000 {
			t.Errorf("%s: %d tokens", call, in)
		}
	}
}

// Every prompt of a completion is answered, as often as is asked for.
func TestEstimateOfPrompts(t *testing.T) {
	for prompt, want := range map[string]int64{
		`"a"`: 200, `[]`: 200, `["a"]`: 200, `[1,2,3]`: 200, `["a","b","c"]`: 600, `[[1,2],[3]]`: 400, `["a",` + strings.Repeat(`"b",`, 1998) + `"c"]`: 400_000,
	} {
		f, no := Judge([]byte(`{"model":"m","max_tokens":100,"n":1,"best_of":2,"prompt":`+prompt+`}`), options(belljar.LLMOpenAI, "completions"))
		if no != nil {
			t.Fatal(no.Why)
		}
		if _, out := f.Estimate(100); out != want {
			t.Errorf("%.40s: %d, want %d", prompt, out, want)
		}
	}
	if _, no := Judge([]byte(`{"model":"m","prompt":[{"text":"a"}]}`), options(belljar.LLMOpenAI, "completions")); no == nil {
		t.Error("a prompt of an unknown form passes")
	}
}

// nestedImages is a request with an image that says that it is in an image, and so on.
func nestedImages(size int) string {
	source := `{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("A", size) + `"}`
	for range 7 {
		source = `{"type":"content","content":[{"type":"image","source":` + source + `}]}`
	}
	return `{"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":` + source + `}]}]}`
}

// Bytes are left out once, and only those of an image.
func TestNoImageInAnImage(t *testing.T) {
	o := options(belljar.LLMAnthropic, "messages")
	block := `{"type":"image","source":{"type":"base64","data":"A"}}`
	for _, body := range []string{
		nestedImages(1 << 20),
		heads["messages"] + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"content","content":"` + strings.Repeat("x ", 100_000) + `"}}]}]}`,
		heads["messages"] + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"text","data":"x"}}]}]}`,
		heads["messages"] + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"A","content":[` + block + `]}}]}]}`,
		heads["messages"] + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":[` + block + `]}}]}]}`,
		heads["messages"] + `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"A","content":[` + block + `]}}]}]}`,
	} {
		if f, no := Judge([]byte(body), o); no == nil {
			in, out := f.Estimate(len(body))
			t.Errorf("%.200s passes, estimated %d, %d", body, in, out)
		}
	}
	// Where the provider may fetch nothing is left out.
	o.Fetch = true
	body := nestedImages(1 << 20)
	f, no := Judge([]byte(body), o)
	if no != nil {
		t.Fatal(no.Why)
	}
	if in, _ := f.Estimate(len(body)); in < 1<<20/bytesPerToken {
		t.Error(in)
	}
	// Beside its data all of an image counts, and what is not an image.
	o.Fetch = false
	body = heads["messages"] + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"A","x":"` + strings.Repeat("x ", 100_000) + `"}}]}]}`
	if f, no = Judge([]byte(body), o); no != nil {
		t.Fatal(no.Why)
	}
	if in, _ := f.Estimate(len(body)); in < 200_000/bytesPerToken {
		t.Error(in)
	}
}

// What takes long to judge is refused.
func TestTooMuchToJudge(t *testing.T) {
	body := `{"model":"a","messages":[{}` + strings.Repeat(",{}", MaxBody/3-20) + `]}`
	var no *Refusal
	d := testenv.Work(t, func() { _, no = Judge([]byte(body), options(belljar.LLMAnthropic, "messages")) })
	if no == nil || !strings.Contains(no.Why, "more than 100000 messages") {
		t.Errorf("%v", no)
	}
	if d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
	keys := `{"model":"a"`
	for i := range maxKeys {
		keys += fmt.Sprintf(`,"k%d":1`, i)
	}
	if _, no := Judge([]byte(keys+"}"), options(belljar.LLMAnthropic, "messages")); no == nil || !strings.Contains(no.Why, "4096 keys") {
		t.Errorf("%v", no)
	}
}

func TestModelsThatMayAnswer(t *testing.T) {
	f, no := Judge([]byte(`{"model":"claude-a","models":["claude-b","gpt-x"]}`), options(belljar.LLMOpenAI, "chat"))
	if no != nil {
		t.Fatal(no.Why)
	}
	for patterns, want := range map[string]string{
		"claude-*": "gpt-x", "claude-* gpt-x": "", "*": "", "claude-a": "claude-b", "*-*": "", "c*e-a cl*-b g*t-*x": "", "claude-": "claude-a",
	} {
		if got := f.Allowed(strings.Fields(patterns)); got != want {
			t.Errorf("%s: %q, want %q", patterns, got, want)
		}
	}
}

// What a server may go to instead may answer as well.
func TestFallbacks(t *testing.T) {
	for _, call := range []string{"messages", "responses", "chat"} {
		for _, fetch := range []bool{false, true} {
			o := options(apis[call], call)
			o.Fetch = fetch
			for _, key := range []string{"models", "fallbacks"} {
				f, no := Judge([]byte(`{"model":"a","`+key+`":["a-b","other"]}`), o)
				if no != nil || f.Allowed([]string{"a*"}) != "other" || f.Model() != "a" {
					t.Errorf("%s, %s: %+v %v", call, key, f, no)
				}
				for _, form := range []string{`[{"model":"other","max_tokens":77777}]`, `"default"`} { // of Claude Code
					f, no := Judge([]byte(`{"model":"a","max_tokens":5,"`+key+`":`+form+`}`), o)
					if no != nil || f.Allowed([]string{"a*"}) == "" || form[0] == '[' && f.MaxOutput != 77777 {
						t.Errorf("%s, %s: %+v %v", call, form, f, no)
					}
				}
				for _, form := range []string{`[{"x":"other"}]`, `[{"model":1}]`, `[{"Model":"other","model":"a"}]`, `7`, `{"a":["other"]}`, `[""]`, `[` + strings.Repeat(`"a",`, 70) + `"a"]`} {
					if _, no := Judge([]byte(`{"model":"a","`+key+`":`+form+`}`), o); no == nil {
						t.Errorf("%s: %s of the form %.40s pass", call, key, form)
					}
				}
				if _, no := Judge([]byte(`{"model":"a","`+strings.ToUpper(key)+`":[]}`), o); no == nil {
					t.Errorf("%s: %s in capitals pass", call, key)
				}
			}
		}
	}
}

// A tool that asks another model names it.
func TestModelOfATool(t *testing.T) {
	o := options(belljar.LLMAnthropic, "messages")
	o.Fetch = true
	f, no := Judge([]byte(`{"model":"a","tools":[{"type":"advisor_20260301","name":"advisor","model":"other"}]}`), o)
	if no != nil || f.Allowed([]string{"a"}) != "other" {
		t.Errorf("%+v %v", f, no)
	}
}

// What says that it is an image and is a text counts as a text.
func TestEstimateOfTextAsImage(t *testing.T) {
	body := heads["responses"] + `"input":[{"content":[{"type":"input_image","image_url":"data:text/plain,` + strings.Repeat("x ", 100_000) + `"}]}]}`
	f, no := Judge([]byte(body), options(belljar.LLMOpenAI, "responses"))
	if no != nil {
		t.Fatal(no.Why)
	}
	if in, _ := f.Estimate(len(body)); in < 200_000/bytesPerToken {
		t.Error(in)
	}
}

// A request with a note is still the request, and the note is where the system speaks.
func TestSteer(t *testing.T) {
	for _, c := range []struct{ call, body, want string }{
		{"messages", ` {"model":"a"}`, ` {"system":[{"type":"text","text":"N\""}],"model":"a"}`},
		{"messages", `{"model":"a","system":"s"}`, `{"model":"a","system":[{"type":"text","text":"s"},{"type":"text","text":"N\""}]}`},
		{"messages", `{"model":"a","system":[ ]}`, `{"model":"a","system":[ {"type":"text","text":"N\""}]}`},
		{"messages", `{"model":"a","system":[{"type":"text","text":"]"}] }`, `{"model":"a","system":[{"type":"text","text":"]"},{"type":"text","text":"N\""}] }`},
		{"messages", `{"model":"a","system":null}`, ""},
		{"responses", `{"model":"a","input":[{"role":"user","content":"x"}]}`, `{"model":"a","input":[{"role":"user","content":"x"},{"type":"message","role":"developer","content":"N\""}]}`},
		{"responses", `{"model":"a","input":"x"}`, ""},
		{"chat", `{"model":"a","messages":[]}`, `{"model":"a","messages":[{"role":"system","content":"N\""}]}`},
		{"content", `{"contents":[]}`, `{"systemInstruction":{"parts":[{"text":"N\""}]},"contents":[]}`},
		{"content", `{"system_instruction":{"parts":[{"text":"s"}]}}`, `{"system_instruction":{"parts":[{"text":"s"},{"text":"N\""}]}}`},
	} {
		o := options(apis[c.call], c.call)
		f, no := Judge([]byte(c.body), o)
		if no != nil {
			t.Fatalf("%s: %s", c.body, no.Why)
		}
		b, ok := f.Steer(o, `N"`)
		if ok != (c.want != "") || string(b) != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.body, b, c.want)
		}
		if ok {
			if _, no := Judge(b, o); no != nil {
				t.Errorf("%s is refused: %s", b, no.Why)
			}
		}
	}
}

// FuzzJudge: whatever is sent, what passes is JSON that encoding/json reads, with the
// models that were judged, and stays so with a note.
func FuzzJudge(f *testing.F) {
	for call, h := range heads {
		f.Add(h+`"tools":[]}`, call, false)
	}
	f.Add(`{"model":"a","messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"x"}}]}]}`, "messages", false)
	f.Add(`{"model":"a","input":[{"type":"message","content":[{"type":"input_text","text":"\ud83d\ude00"}]}],"tools":[{"type":"namespace","tools":[]}]}`, "responses", true)
	f.Add(nestedImages(40_000), "messages", false)
	f.Fuzz(func(t *testing.T, body, call string, fetch bool) {
		api, ok := apis[call]
		if !ok {
			return
		}
		o := options(api, call)
		o.Fetch = fetch
		facts, no := Judge([]byte(body), o)
		if no != nil {
			return
		}
		check := func(b []byte) {
			var m map[string]json.RawMessage
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatalf("%q passes: %v", b, err)
			}
			var model string
			if api != belljar.LLMGemini {
				if err := json.Unmarshal(m["model"], &model); err != nil || model != facts.Model() {
					t.Fatalf("%q: judged as %q", b, facts.Model())
				}
			}
			if !fetch && m["mcp_servers"] != nil && len(m["mcp_servers"]) > 5 {
				t.Fatalf("%q passes", b)
			}
		}
		if in, out := facts.Estimate(len(body)); in < 1 || out < 0 || in+out < 1 || len(body) < imageBytes && in < int64(len(body))/bytesPerToken {
			t.Fatalf("%q: estimated %d, %d", body, in, out)
		}
		check([]byte(body))
		if b, ok := facts.Steer(o, "note"); ok {
			check(b)
			if _, no := Judge(b, o); no != nil {
				t.Fatalf("%q is refused with a note: %s", b, no.Why)
			}
		}
	})
}
