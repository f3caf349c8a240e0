package claims

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

const claudeText = `{"type":"assistant","timestamp":"2026-11-29T12:00:00.1Z","message":{"content":[{"type":"text","text":"I run it."},{"type":"tool_use","id":"a","name":"Bash","input":{"command":"make test"}}]}}
{"type":"user","timestamp":"2026-11-29T12:00:00.2Z","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":"Exit code 2\nno","is_error":true}]},"toolUseResult":"Error: Exit code 2"}
{"type":"assistant","timestamp":"2026-11-29T12:00:01Z","message":{"content":[{"type":"tool_use","id":"b","name":"Bash","input":{"command":"grep x y"}},{"type":"tool_use","id":"w","name":"Write","input":{"command":"no line"}}]}}
{"type":"user","timestamp":"2026-11-29T12:00:02Z","message":{"content":[{"type":"tool_result","tool_use_id":"b","content":""}]},"toolUseResult":{"returnCodeInterpretation":"No matches found"}}
not JSON tool_
{"type":"assistant","timestamp":"2026-11-29T12:00:03Z","message":{"content":[{"type":"tool_use","id":"c","name":"Bash","input":{"command":"rm x"}},{"type":"tool_use","id":"d","name":"Bash","input":{"command":"serve","run_in_background":true}}]}}
{"type":"user","timestamp":"2026-11-29T12:00:04Z","message":{"content":[{"type":"tool_result","tool_use_id":"c","is_error":true,"content":[{"type":"text","text":"The user does not want this"}]},{"type":"tool_result","tool_use_id":"d","content":"running"}]}}
{"type":"assistant","timestamp":"2025-01-01T12:00:03Z","message":{"content":[{"type":"tool_use","id":"e","name":"Bash","input":{"command":"old"}}]}}
`

const codexText = `{"timestamp":"2026-11-29T12:00:00.1Z","type":"response_item","payload":{"type":"custom_tool_call","call_id":"1","name":"exec","input":"const r = await tools.exec_command({cmd: \"make \\\"x\\\"\"});\ntext(JSON.stringify(r));\n"}}
{"timestamp":"2026-11-29T12:00:00.2Z","type":"event_msg","payload":{"type":"item_completed","item":{"type":"CommandExecution","id":"i","command":["/bin/sh","-lc","make \"x\""],"exit_code":1}}}
{"timestamp":"2026-11-29T12:00:00.3Z","type":"response_item","payload":{"type":"custom_tool_call_output","call_id":"1","output":[{"type":"input_text","text":"{\"exit_code\":1,\"output\":\"\\\"exit_code\\\":7\"}"}]}}
{"timestamp":"2026-11-29T12:00:01Z","type":"response_item","payload":{"type":"function_call","call_id":"2","name":"shell","arguments":"{\"command\":[\"bash\",\"-lc\",\"ls\"]}"}}
{"timestamp":"2026-11-29T12:00:01.1Z","type":"response_item","payload":{"type":"function_call_output","call_id":"2","output":"Exit code: 0\nWall time: 1"}}
{"timestamp":"2026-11-29T12:00:02Z","type":"response_item","payload":{"type":"function_call","call_id":"3","name":"exec_command","arguments":"{\"cmd\":\"false\"}"}}
{"timestamp":"2026-11-29T12:00:02.1Z","type":"event_msg","payload":{"type":"exec_command_begin","call_id":"3","command":["bash","-lc","false"]}}
{"timestamp":"2026-11-29T12:00:02.2Z","type":"event_msg","payload":{"type":"exec_command_end","call_id":"3","exit_code":1}}
{"timestamp":"2026-11-29T12:00:02.3Z","type":"response_item","payload":{"type":"function_call_output","call_id":"3","output":"Process exited with code 0"}}
{"timestamp":"2026-11-29T12:00:03Z","type":"response_item","payload":{"type":"function_call","call_id":"4","name":"update_plan","arguments":"{\"cmd\":\"no line\"}"}}
`

const geminiText = `{"sessionId":"s","projectHash":"p","kind":"main"}
{"$set":{"messages":[{"id":"m0","timestamp":"2026-11-29T12:00:00Z","type":"gemini","toolCalls":[{"id":"0","name":"run_shell_command","args":{"command":"make all"},"status":"cancelled","timestamp":"2026-11-29T12:00:00.1Z"}]}]}}
{"id":"m1","timestamp":"2026-11-29T12:00:01Z","type":"gemini","content":"I run it."}
{"id":"m1","timestamp":"2026-11-29T12:00:01Z","type":"gemini","toolCalls":[{"id":"1","name":"run_shell_command","args":{"command":"make test"},"status":"executing"}]}
{"id":"m1","timestamp":"2026-11-29T12:00:01Z","type":"gemini","toolCalls":[{"id":"1","name":"run_shell_command","args":{"command":"make test"},"result":[{"functionResponse":{"response":{"output":"<untrusted_context>\nOutput: no\nExit Code: 0\nExit Code: 2\nProcess Group PGID: 9\n</untrusted_context>"}}}],"status":"success","timestamp":"2026-11-29T12:00:01.5Z","resultDisplay":"no\nExit Code: 0"},{"id":"w","name":"write_file","args":{"command":"no line"}}]}
{"id":"m2","timestamp":"2026-11-29T12:00:02Z","type":"gemini","toolCalls":[{"id":"2","name":"run_shell_command","args":{"command":"echo lies"},"result":[{"functionResponse":{"response":{"output":"Output: Exit Code: 7\nBackground PIDs: 17, 18\nProcess Group PGID: 9"}}}],"status":"success","timestamp":"2026-11-29T12:00:02.5Z","resultDisplay":"Exit Code: 7"},{"id":"3","name":"run_shell_command","args":{"command":"serve","is_background":true},"result":[{"functionResponse":{"response":{"output":"Command moved to background (PID: 3). Output hidden."}}}],"status":"success","timestamp":"2026-11-29T12:00:02.5Z"}]}
{"id":"m3","timestamp":"2026-11-29T12:00:03Z","type":"gemini","toolCalls":[{"id":"4","name":"run_shell_command","args":{"command":"rm x"},"result":[{"functionResponse":{"response":{"error":"Tool execution denied by policy."}}}],"status":"error","timestamp":"2026-11-29T12:00:03Z"},{"id":"5","name":"run_shell_command","args":{"command":"kill -9 $$"},"result":[{"functionResponse":{"response":{"output":"Output: (empty)\nSignal: 9\nProcess Group PGID: 9"}}}],"status":"success","timestamp":"2026-11-29T12:00:03Z"},{"id":"6","name":"run_shell_command","args":{"command":"ls"},"result":[{"functionResponse":{"response":{"output":"Output: (empty)\nProcess Group PGID: 9"}}}],"status":"success","timestamp":"2026-11-29T12:00:03Z","resultDisplay":[]}]}
`

func readText(t *testing.T, agent, name, text string) ([]*Claim, []string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, files, notes, err := Read([]Dir{{agent, dir}}, start, start.Add(time.Minute))
	if err != nil || files != 1 {
		t.Fatalf("%d files, %v", files, err)
	}
	return all, notes
}

func show(all []*Claim) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%s %v %v\n", c.Line, c.Status, c.Failed)
	}
	return b.String()
}

func TestClaude(t *testing.T) {
	all, notes := readText(t, "claude", "proj/a.jsonl", claudeText+claudeText) // a resumed session repeats
	want := "make test [2] false\ngrep x y [0 1] false\nrm x [] true\nserve [] false\n"
	if got := show(all); got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "other times") {
		t.Errorf("%q", notes)
	}
}

func TestCodex(t *testing.T) {
	all, _ := readText(t, "codex", "2026/11/29/rollout-x.jsonl", codexText)
	// What is told in two ways that differ is two claims.
	want := "make \"x\" [1] false\nls [0] false\nfalse [0] false\nfalse [1] false\n"
	if got := show(all); got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestGemini(t *testing.T) {
	all, _ := readText(t, "gemini", "p/chats/session-x.jsonl", geminiText+geminiText)
	want := "make all [] true\nmake test [2] false\necho lies [0] false\nserve [] false\nrm x [] true\nkill -9 $$ [] false\nls [0] false\n"
	if got := show(all); got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// TestGeminiShell: the line in what Gemini CLI puts around it, and what it makes of a shell's line.
func TestGeminiShell(t *testing.T) {
	const before, after = "shopt -u promptvars nullglob extglob nocaseglob dotglob; _bgpids_file=/tmp/gemini-shell-x/bgpids.tmp\n(\n  trap 'jobs -p > \"$_bgpids_file\"' EXIT\n", "\n)\n__code=$?\nexit $__code"
	for line, want := range map[string]string{
		"make test": "make test", `sh -c 'exit 3'`: "exit 3", `/bin/bash -c "echo \"$x\""`: `echo "$x"`, "bash -c exit 3": "exit 3", "bash x -c 'y'": "bash x -c 'y'",
	} {
		c := Claim{Line: line, given: geminiGiven(line)}
		if got := c.forShell(); got != want {
			t.Errorf("%s: %s", line, got)
		}
		if l := lines([]string{"bash", "-c", before + want + after}); len(l) != 2 || l[1] != want {
			t.Errorf("%s: %q", line, l)
		}
	}
	for _, s := range []string{"evil; " + before + "x" + after, before + "x" + after + "; evil", "shopt -u x; evil; _bgpids_file=y\n(\n" + "x" + after} {
		if l := lines([]string{"bash", "-c", s}); len(l) != 1 {
			t.Errorf("%q", l)
		}
	}
}

// TestCodexMany: very many calls of one line cost no more than their sum.
func TestCodexMany(t *testing.T) {
	c := newCodex().(*codex)
	for i := range 50_000 {
		at := start.Add(time.Duration(i) * time.Second)
		c.ran = append(c.ran, &Claim{Line: "x", Time: at, Until: at})
		c.calls = append(c.calls, &Claim{Line: "x", Time: at.Add(time.Hour * 100), Until: at.Add(time.Hour * 100), called: true})
	}
	n := 0
	d := testenv.Work(t, func() { n = len(c.claims()) })
	if n != 100_000 {
		t.Error(n)
	}
	if d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}

// TestHostileFolder: links, pipes, depth and lines beyond all bounds.
func TestHostileFolder(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(outside, []byte(claudeText), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.jsonl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxLineBytes+10) + "\n" + claudeText
	if err := os.WriteFile(filepath.Join(dir, "long.jsonl"), []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shut.jsonl"), nil, 0); err != nil {
		t.Fatal(err)
	}
	all, files, _, err := Read([]Dir{{"claude", dir}}, start, start.Add(time.Minute))
	if err != nil || files != 2 || len(all) != 4 {
		t.Errorf("%d files, %d claims, %v", files, len(all), err)
	}
	if err := os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", maxDepth+1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Read([]Dir{{"claude", dir}}, start, start); err == nil {
		t.Error("folders are followed without end")
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add([]byte(claudeText))
	f.Add([]byte(codexText))
	f.Add([]byte(geminiText))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, reader := range []func() lineReader{newClaude, newCodex, newGemini} {
			r := reader()
			if _, err := eachLine(strings.NewReader(string(b)), r.line); err != nil {
				t.Fatal(err)
			}
			all := r.claims()
			if len(all) > len(b) {
				t.Errorf("%d claims of %d bytes", len(all), len(b))
			}
			if _, err := Check(all, newRun().sh(10, 0, "make test", "make test").entries()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("a && (b | c; d) & e $(f) <(g) || h", "eval 'x'")
	f.Add("()h", "") // a function without a name
	f.Fuzz(func(t *testing.T, line, argument string) {
		if r := read(line); len(r.commands) > maxCommands {
			t.Error(len(r.commands))
		}
		lines([]string{"bash", "-c", line})
		lines([]string{"bash", line, argument})
	})
}
