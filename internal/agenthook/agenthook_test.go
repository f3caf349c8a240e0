package agenthook

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ in, line, dir string }{
		{`{"cwd":"/w","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls -l"}}`, "ls -l", "/w"},
		{`{"cwd":"/w","tool_input":{"command":["echo","it's"]}}`, `'echo' 'it'\''s'`, "/w"},
		{`{"cwd":"/w","tool_name":"run_shell_command","tool_input":{"command":"ls","directory":"sub"}}`, "ls", "/w/sub"},
		{`{"cwd":"/w","tool_input":{"command":"ls","dir_path":"/x"}}`, "ls", "/x"},
		{`{"cwd":"/w","tool_input":{"command":"ls","workdir":".."}}`, "ls", "/w/.."},
		{`{"tool_input":{"command":""}}`, "", ""},
	} {
		got, err := Read("claude", []byte(c.in))
		if want := (Call{"claude", c.line, c.dir}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
	}
	for _, in := range []string{
		``, `[]`, `{}`, `{"tool_input":{"command":null}}`, `{"tool_input":{"command":7}}`, `{"tool_input":{"command":[]}}`, `{"tool_input":{"command":["a",1]}}`,
		`{"cwd":"w","tool_input":{"command":"ls"}}`, `{"tool_input":{"command":"` + strings.Repeat("x", MaxLine+1) + `"}}`, strings.Repeat(" ", MaxInput) + "{}",
	} {
		if c, err := Read("claude", []byte(in)); err == nil {
			t.Errorf("%.60s: %+v", in, c)
		}
	}
	if _, err := Read("emacs", []byte(`{"tool_input":{"command":"ls"}}`)); err == nil {
		t.Error("an agent that nobody knows")
	}
}

func TestAnswer(t *testing.T) {
	for _, agent := range Agents() {
		if b := Answer(agent, Verdict{Allow: true, Reason: "x"}); b != nil {
			t.Errorf("%s: a line that may run: %s", agent, b)
		}
		var out struct {
			Decision, Reason string
			Hook             struct{ PermissionDecision, PermissionDecisionReason string } `json:"hookSpecificOutput"`
		}
		if err := json.Unmarshal(Answer(agent, Verdict{Ask: true, Reason: "\"x\"\n\xff"}), &out); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "ask", false: "deny"}[agent == "claude"]
		if out.Decision+out.Hook.PermissionDecision != want || !strings.Contains(out.Reason+out.Hook.PermissionDecisionReason, `"x"`) {
			t.Errorf("%s: %+v", agent, out)
		}
	}
}

// TestSubmit: a real HTTP server is asked, and every answer but its own is no verdict.
func TestSubmit(t *testing.T) {
	var got Call
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != Page || r.Host != "policy.belljar" {
			w.WriteHeader(400)
		}
		_, _ = w.Write([]byte(`{"allow":true}`))
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := Call{"codex", "echo 'é'\n", "/w"}
	if v, err := submit(conn, want); err != nil || !v.Allow || got != want {
		t.Errorf("%+v %v, asked %+v", v, err, got)
	}
	for _, reply := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n{\"allow\":true}", "HTTP/1.1 429 x\r\nContent-Length: 14\r\n\r\n{\"allow\":true}", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"allow\":true}", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		if v, err := readVerdict(strings.NewReader(reply)); err == nil || v.Allow {
			t.Errorf("%q: %+v", reply, v)
		}
	}
}

// TestMainRefuses: what cannot be read does not run, and the status is one that agents obey.
func TestMainRefuses(t *testing.T) {
	var out strings.Builder
	if code := Main([]string{"gemini"}, strings.NewReader("x"), &out); code != 0 || !strings.Contains(out.String(), `"decision":"deny"`) {
		t.Errorf("%d %s", code, out.String())
	}
	out.Reset()
	if code := Main(nil, strings.NewReader("{}"), &out); code != 0 || !strings.Contains(out.String(), "deny") {
		t.Errorf("%d %s", code, out.String())
	}
}

func TestFiles(t *testing.T) {
	for _, f := range Files() {
		if !strings.HasPrefix(f.Path, "/etc/") || f.Content == "" {
			t.Errorf("%+v", f)
		}
		if strings.HasSuffix(f.Path, ".json") && !json.Valid([]byte(f.Content)) {
			t.Errorf("%s: %s", f.Path, f.Content)
		}
	}
	if !strings.Contains(plugin, `spawn("`+Program+`", ["`+Word+`", "opencode"]`) {
		t.Error("the plugin runs another program")
	}
	own := OwnGemini(`{"security": {"auth": 1}, "hooks": {"x": []}}`)
	for _, want := range []string{`"auth": 1`, Program + " hook gemini", `"enabled": true`} {
		if !strings.Contains(own, want) {
			t.Errorf("gemini's own settings lack %s: %s", want, own)
		}
	}
	if OwnGemini("// a comment") != "// a comment" || !strings.Contains(OwnGemini(""), "BeforeTool") {
		t.Error("settings that are none, or no JSON")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("claude", []byte(`{"cwd":"/w","tool_input":{"command":"ls","directory":"x"}}`))
	f.Add("codex", []byte(`{"cwd":"/w","tool_input":{"command":["ls","'"]}}`))
	f.Fuzz(func(t *testing.T, agent string, b []byte) {
		c, err := Read(agent, b)
		if err == nil && c.Check() != nil {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzReadVerdict(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"allow\":true}")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := readVerdict(strings.NewReader(s)); err == nil && v.Allow && !strings.HasPrefix(s, "HTTP/1.1 200 ") {
			t.Errorf("%q allows", s)
		}
	})
}
