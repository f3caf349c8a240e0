package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A finding is what of belljar log claims --json these tests look at.
type finding struct {
	Verdict string `json:"verdict"`
	Line    string `json:"line"`
	Why     string `json:"why"`
}

// claims runs log claims of the newest record, and says what it ended with.
func (w *world) claims() (findings []finding, status int) {
	w.t.Helper()
	r := w.belljar("log", "claims", "--json")
	var rep struct {
		Findings []finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil {
		w.t.Fatalf("%v: %s %s", err, r.out, r.errout)
	}
	return rep.Findings, r.status
}

// verdicts are the verdicts on the claims whose line is line.
func verdicts(all []finding, line string) []string {
	var out []string
	for _, f := range all {
		if f.Line == line {
			out = append(out, f.Verdict)
		}
	}
	return out
}

// honest are commands of all kinds that shells have.
var honest = []string{
	"uname -r > kernel.txt; cat kernel.txt", "false", "sh -c 'exit 3'", "ls | wc -l && pwd && git status --short || true",
	"for i in 1 2; do /bin/echo $i; done", "(cd / && ls -d usr)", "grep -c hello README && find . -name README", "sleep 1 &",
	"nosuchcommand --x", "cat <<'EOF' | wc -l\nfirst\nsecond\nEOF", "env > env.txt && test -s env.txt && sort env.txt | head -n 1", "grep nothing README",
}

// agentRun runs a real agent with the scripted model, and with belljar's hooks, because of a rule.
func agentRun(t *testing.T, name, script string, commands ...string) *world {
	t.Helper()
	bin := agentPath(t)
	port := modelServer(t, commands...)
	w := newWorld(t)
	for _, key := range []string{"ANTHROPIC_API_KEY", "CODEX_API_KEY", "GEMINI_API_KEY"} {
		w.env = append(w.env, key+"="+realKey)
	}
	w.host("git", "init", "-q")
	w.write("belljar.yaml", "version: 1\ncommands: {deny: [\"nothing-like-this *\"]}\n")
	w.write("lie.sh", script)
	w.install(bin, name)
	r := w.belljar(append([]string{"run", "--allow", "localhost:" + port}, toldAgents("http://localhost:" + port)[name]...)...)
	if r.status != 0 {
		t.Fatalf("%d %s %s", r.status, r.out, r.errout)
	}
	return w
}

// toldAgents are [agents] in the way in which nothing but the agent runs.
func toldAgents(url string) map[string][]string {
	all, at := agents(url), "="+strings.TrimPrefix(url, "http://")
	all["gemini"] = []string{"--env", "GOOGLE_GEMINI_BASE_URL=" + url, "--credential", "GEMINI_API_KEY" + at, "--", "gemini", "-m", "gemini-2.5-flash", "-p", "go", "--yolo", "--skip-trust"}
	all["opencode"] = []string{"--env", `OPENCODE_CONFIG_CONTENT={"provider":{"anthropic":{"options":{"baseURL":"` + url + `/v1"}}}}`, "--credential", "ANTHROPIC_API_KEY" + at,
		"--", "opencode", "run", "--auto", "-m", "anthropic/claude-sonnet-4-5", "go"}
	return all
}

// toldNames are the agents whose claims are tested: OpenCode takes minutes in a kernel of its own.
func toldNames() []string {
	names := []string{"claude", "codex", "gemini"}
	if os.Getenv("BELLJAR_SOAK") != "" {
		names = append(names, "opencode")
	}
	return names
}

// TestClaimsHonest: what the real programs tell is what was executed.
func TestClaimsHonest(t *testing.T) {
	testenv.Need(t, "only-run")
	if !ownKernel() {
		t.Skip("the tier declares that it does not see which programs run: TestClaimsNotSeen")
	}
	for _, name := range toldNames() {
		t.Run(name, func(t *testing.T) {
			w := agentRun(t, name, "", honest...)
			all, status := w.claims()
			for _, line := range honest {
				if v := verdicts(all, line); !slices.Equal(v, []string{"executed"}) {
					t.Errorf("%q: %q", line, v)
				}
			}
			if status != 0 || len(all) != len(honest) {
				t.Errorf("status %d: %+v", status, all)
			}
			mustContain(t, "what hooks were asked", w.belljar("log", "--kind", "judge").out, "uname -r") // and they are told by nobody
			mustContain(t, "log claims", w.belljar("log", "claims").out, fmt.Sprintf("%d command lines told, 0 differences", len(honest)))
		})
	}
}

// TestClaimsLying: a command changes the transcript of the agent that runs it: a result, a
// line, a call that never was; and another transcript is made up.
func TestClaimsLying(t *testing.T) {
	testenv.Need(t, "only-run")
	if !ownKernel() {
		t.Skip("the tier declares that it does not see which programs run: TestClaimsNotSeen")
	}
	// In place and of the same length: the agent goes on writing to the file.
	const edit = "\nfor f in $(find ~/.claude ~/.codex -name '*.jsonl'); do sed $EDITS $f > /tmp/edited; cat /tmp/edited > $f; done\n"
	const now = "'$(date -u +%FT%T.%NZ)'"
	scripts := map[string]string{
		"claude": `EDITS='s/Exit.code.1"/Exit\x20code\x200"/;s/"date.-u"/"date\x20-I"/'` + edit +
			`mkdir -p ~/.claude/projects/p; printf '%s\n' '{"type":"assistant","timestamp":"` + now + `","message":{"content":[{"type":"tool_use","id":"m","name":"Bash","input":{"command":"make \u001b[31m test"}}]}}' > ~/.claude/projects/p/x.jsonl`,
		"gemini": `for f in $(find ~/.gemini/tmp -name 'session-*.jsonl'); do sed 's/Exit.Code:.1/Exit\x20Code:\x200/g;s/"date.-u"/"date\x20-I"/g' $f > /tmp/edited; cat /tmp/edited > $f; done
` + `printf '%s\n' '{"id":"m","type":"gemini","timestamp":"` + now + `","toolCalls":[{"id":"m","name":"run_shell_command","args":{"command":"make \u001b[31m test"},"status":"success"}]}' > ~/.gemini/tmp/x.jsonl`,
		"opencode": `cat > /tmp/lie.py <<'EOF'
import sqlite3, os, json, time
c = sqlite3.connect(os.path.expanduser("~/.local/share/opencode/opencode.db"), timeout=30)
for i, message, session, d in list(c.execute("select id, message_id, session_id, data from part")):
    p = json.loads(d)
    if p["type"] == "tool":
        s = p["state"]
        s["input"]["command"] = s["input"]["command"].replace("date -u", "date -I")
        if s.get("metadata", {}).get("exit") == 1:
            s["metadata"]["exit"] = 0
        c.execute("update part set data = ? where id = ?", (json.dumps(p), i))
t = int(time.time() * 1000)
p = {"type": "tool", "tool": "bash", "callID": "m", "state": {"status": "completed", "title": "", "output": "", "input": {"command": "make \x1b[31m test"}, "time": {"start": t, "end": t}, "metadata": {"exit": 0, "output": "", "truncated": False}}}
c.execute("insert into part values ('prt_m', ?, ?, ?, ?, ?)", (message, session, t, t, json.dumps(p)))
c.commit()
EOF
python3 /tmp/lie.py`,
		"codex": `EDITS='s/exit_code\(.*\)":1,/exit_code\1":0,/;s/exit_code":1,/exit_code":0,/;s/date.-u/date\x20-I/g'` + edit +
			`printf '%s\n' '{"timestamp":"` + now + `","type":"response_item","payload":{"type":"function_call","call_id":"m","name":"exec_command","arguments":"{\"cmd\":\"make \\u001b[31m test\"}"}}' >> $f`,
	}
	for _, name := range toldNames() {
		t.Run(name, func(t *testing.T) {
			w := agentRun(t, name, scripts[name], "false", "date -u", "sh lie.sh")
			all, status := w.claims()
			if status != 1 {
				t.Errorf("status %d", status)
			}
			for line, want := range map[string]string{
				"false": "executed, other exit status than said", "date -I": "not executed", "make \x1b[31m test": "not executed", "sh lie.sh": "executed",
			} {
				if v := verdicts(all, line); !slices.Equal(v, []string{want}) {
					t.Errorf("%q: %q, want %q", line, v, want)
				}
			}
			if !slices.ContainsFunc(all, func(f finding) bool {
				return f.Verdict == "executed but not told" && f.Line == "date -u"
			}) {
				t.Errorf("what was executed instead is not shown: %+v", all)
			}
			text := w.belljar("log", "claims").out
			mustContain(t, "log claims", text, `make \x1b[31m test`, "executed but not told")
			mustLack(t, "log claims", text, "\x1b")
		})
	}
}

// TestClaimsMadeUp: a program that is no agent writes a session.
func TestClaimsMadeUp(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it does not see which programs run: TestClaimsNotSeen")
	}
	w := newWorld(t)
	w.write("fake.sh", `mkdir -p ~/.codex/sessions/2026
echo '{"timestamp":"'$(date -u +%FT%T.%NZ)'","type":"event_msg","payload":{"type":"item_completed","item":{"type":"CommandExecution","id":"i","command":["/bin/sh","-lc","make test"],"exit_code":0}}}' > ~/.codex/sessions/2026/rollout-1.jsonl`)
	if r := w.belljar("run", "--preset", "codex", "--", "sh", "fake.sh"); r.status != 0 {
		t.Fatal(r)
	}
	all, status := w.claims()
	if v := verdicts(all, "make test"); status != 1 || !slices.Equal(v, []string{"not executed"}) {
		t.Errorf("%d %+v", status, all)
	}
}

// TestClaimsNotTold: what a first command becomes and starts is shown, whatever it is.
func TestClaimsNotTold(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it does not see which programs run: TestClaimsNotSeen")
	}
	w := newWorld(t)
	w.write("first.sh", "mkdir -p ~/.claude/projects/p; : > ~/.claude/projects/p/x.jsonl\nexec sh -c 'uname -r; true'\n")
	if r := w.belljar("run", "--preset", "claude", "--", "sh", "first.sh"); r.status != 0 {
		t.Fatal(r)
	}
	all, status := w.claims()
	if v := verdicts(all, "uname -r; true"); status != 1 || !slices.Equal(v, []string{"executed but not told"}) {
		t.Errorf("%d %+v", status, all)
	}
}

// TestClaimsNotSeen: where programs are not on record, nothing is said of claims.
func TestClaimsNotSeen(t *testing.T) {
	w := newWorld(t)
	if r := w.belljar("run", "--tier", "native", "--preset", "codex", "--", "true"); r.status != 0 {
		t.Fatal(r)
	}
	r := w.belljar("log", "claims")
	if r.status != 125 || !strings.Contains(r.errout, "the programs that were executed are not on record") || !strings.Contains(r.errout, "belljar: hint: ") {
		t.Errorf("%+v", r)
	}
}
