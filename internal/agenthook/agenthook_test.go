package agenthook

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ agent, in, line, dir string }{
		{"claude", `{"cwd":"/w","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls -l"}}`, "ls -l", "/w"},
		{"codex", `{"cwd":"/w","tool_input":{"command":["echo","it's"]}}`, `'echo' 'it'\''s'`, "/w"},
		{"gemini", `{"cwd":"/w","tool_name":"run_shell_command","tool_input":{"command":"ls","directory":"sub"}}`, "ls", "/w/sub"},
		{"gemini", `{"cwd":"/w","tool_input":{"command":"ls","dir_path":"/x"}}`, "ls", "/x"},
		{"opencode", `{"cwd":"/w","tool_input":{"command":"ls","workdir":".."}}`, "ls", "/w/.."},
		{"codex", `{"cwd":"/w","tool_input":{"workdir":"/x","command":"ls"}} `, "ls", "/x"},
		{"claude", `{"tool_input":{"command":""}}`, "", ""},
		{"claude", `{"tool_input":{"\u0063ommand":"ls"},"cwd":null}`, "ls", ""},
		// The folder of a line is what its agent's tool takes for it, not what another one's does.
		{"claude", `{"cwd":"/w","tool_input":{"command":"ls","workdir":"/x","directory":"/x","dir_path":"/x"}}`, "ls", "/w"},
		{"codex", `{"cwd":"/w","tool_input":{"command":"ls","directory":"/x"}}`, "ls", "/w"},
		{"gemini", `{"cwd":"/w","tool_input":{"command":"ls","workdir":"/x"}}`, "ls", "/w"},
		{"opencode", `{"cwd":"/w","tool_input":{"command":"ls","dir_path":"/x"}}`, "ls", "/w"},
	} {
		got, err := Read(c.agent, []byte(c.in))
		if want := (Call{c.agent, c.line, c.dir}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
	}
	for _, in := range []string{
		``, `[]`, `{}`, `{"tool_input":{"command":null}}`, `{"tool_input":{"command":7}}`, `{"tool_input":{"command":[]}}`, `{"tool_input":{"command":["a",1]}}`,
		`{"cwd":"w","tool_input":{"command":"ls"}}`, `{"tool_input":{"command":"` + strings.Repeat("x", MaxLine+1) + `"}}`, strings.Repeat(" ", MaxInput) + "{}",
		`{"tool_input":{"command":["a",null]}}`, `{"cwd":7,"tool_input":{"command":"ls"}}`, `{"tool_input":{"command":"ls","dir_path":7}}`,
		`{"tool_input":{"command":"ls"}`, `{"tool_input":{"command":"ls"}} {}`, `{"tool_input":{"command":"ls"`,
	} {
		if c, err := Read("gemini", []byte(in)); err == nil {
			t.Errorf("%.60s: %+v", in, c)
		}
	}
	if _, err := Read("emacs", []byte(`{"tool_input":{"command":"ls"}}`)); err == nil {
		t.Error("an agent that nobody knows")
	}
}

// twoLines are texts that one reader takes for a harmless line and another for one that is not.
var twoLines = []string{
	`{"tool_input":{"command":"sudo id","Command":"true"}}`,
	`{"tool_input":{"COMMAND":"true"}}`,
	`{"tool_input":{"command":"sudo id","command":"true"}}`,
	`{"tool_input":{"command":"sudo id","comm\u0061nd":"true"}}`,
	`{"tool_input":{"command":"sudo id"},"tool_input":{"command":"true"}}`,
	`{"tool_input":{"command":"sudo id"},"Tool_Input":{"command":"true"}}`,
	`{"tool_input":{"command":"true"},"cwd":"/w","CWD":"/x"}`,
	`{"cwd":"/w","tool_input":{"command":"true","dir_path":"/x","Dir_Path":"/y"}}`,
	`{"cwd":"/w","tool_input":{"command":"true","dir_path":"/x","directory":"/y"}}`,
	`{"cwd":"/w","cwd":"/x","tool_input":{"command":"true"}}`,
	`{"tool_input":{"command":"true"},"tool_\u0131nput":1,"TOOL_INPUT":{}}`,
}

// TestReadOneLine: the line that is judged is the one that the agent runs, however it reads.
func TestReadOneLine(t *testing.T) {
	for _, in := range twoLines {
		if c, err := Read("gemini", []byte(in)); err == nil {
			t.Errorf("%s: %+v", in, c)
		}
	}
	if c, err := Read("claude", []byte(`{"tool_input":{"command":"true","\u212Aey":1,"Key":2}}`)); err != nil {
		t.Errorf("names that mean nothing here: %+v %v", c, err)
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

// FuzzRead: what is read is what one who knows exact names reads, whichever of two names counts
// for him.
func FuzzRead(f *testing.F) {
	f.Add("claude", []byte(`{"cwd":"/w","tool_input":{"command":"ls","directory":"x"}}`))
	f.Add("codex", []byte(`{"cwd":"/w","tool_input":{"command":["ls","'"]}}`))
	for _, in := range twoLines {
		f.Add("gemini", []byte(in))
	}
	f.Fuzz(func(t *testing.T, agent string, b []byte) {
		c, err := Read(agent, b)
		if err != nil {
			return
		}
		if c.Check() != nil {
			t.Errorf("%+v", c)
		}
		var exact map[string]any
		if err := json.Unmarshal(b, &exact); err != nil {
			t.Fatalf("no JSON: %s", b)
		}
		in, _ := exact["tool_input"].(map[string]any)
		if line, ok := in["command"].(string); ok && line != c.Line {
			t.Errorf("%q is judged, %q runs", c.Line, line)
		}
		var folded struct {
			In struct {
				Command any `json:"command"`
			} `json:"tool_input"`
		}
		_ = json.Unmarshal(b, &folded)
		if line, ok := folded.In.Command.(string); ok && line != c.Line {
			t.Errorf("%q is judged, %q runs", c.Line, line)
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
