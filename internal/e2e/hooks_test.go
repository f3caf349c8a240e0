package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

const hookRules = `version: 1
commands:
  ask: ["touch *"]
  deny: [{pattern: "id *", reason: no identities here}]
`

// unhook is what a hostile agent does about its hooks: by a script, because the judge would
// refuse the lines.
const unhook = `
mkdir -p ~/.claude .claude .gemini .opencode
for f in ~/.claude/settings.json .claude/settings.json; do echo '{"disableAllHooks": true, "hooks": {}}' > $f; done
[ -f ~/.codex/config.toml ] && sed -i 's/^plugins = false/hooks = false\nplugins = false/' ~/.codex/config.toml
echo '{"hooksConfig": {"enabled": false}, "hooks": {}}' > .gemini/settings.json
echo '{"plugin": []}' > opencode.json
for f in /etc/claude-code/managed-settings.json /etc/codex/requirements.toml /etc/gemini-cli/settings.json /etc/opencode/opencode.json /etc/opencode/belljar.js /run/belljar/guest; do
	rm -f $f; echo > $f; mv $f /tmp/; chmod u+w $f; ln -sf /dev/null $f; [ -s $f ] && echo "there $f"
	d=$(dirname $f); mv $d /tmp/; rm -rf $d; mount -t tmpfs none $d; [ -s $f ] && echo "there $f"
done > left.txt 2>/dev/null
true
`

// TestHooks: the real agents are told by their hooks what the policy makes of their lines,
// also after they removed what they can of them; what a hook does not see is held by the
// tier, where it holds rules for commands.
func TestHooks(t *testing.T) {
	bin := agentPath(t)
	port := modelServer(t, "echo fine > allowed.txt", "id -u > denied.txt", "touch asked.txt", "sh unhook.sh", "sh sneaky.sh")
	for name, args := range agents("http://localhost:" + port) {
		t.Run(name, func(t *testing.T) {
			if name == "gemini" { // it obeys root's settings only, and nothing is root's in a user's sandboxes: plan.TestHooks
				testenv.Need(t, "root")
			}
			w := newWorld(t)
			for _, key := range []string{"ANTHROPIC_API_KEY", "CODEX_API_KEY", "GEMINI_API_KEY"} {
				w.env = append(w.env, key+"="+realKey)
			}
			w.host("git", "init", "-q")
			w.install(bin, name)
			w.write("desk.yaml", hookRules)
			w.write("unhook.sh", unhook)
			w.write("sneaky.sh", "id -u > sneaky.txt 2>&1\n")
			flags := []string{"--allow", "localhost:" + port}
			if !ownKernel() {
				flags = append(flags, "--best-effort")
			}
			rounds := []string{"fresh", "after it removed its hooks"}
			if name == "gemini" || name == "opencode" { // they take minutes: somebody else removed them before
				w.answeringTo(slices.Concat(flags, []string{"--", "sh", "unhook.sh"}), func(string, string) []string { return nil })
				rounds = rounds[1:]
			}
			for _, round := range rounds {
				t.Run(round, func(t *testing.T) { w.hookRound(t, name, slices.Concat(flags, args)) })
			}
		})
	}
}

// hookRound runs an agent and looks at what came of its lines.
func (w *world) hookRound(t *testing.T, name string, args []string) {
	var asked []string
	r := w.answeringTo(args, func(what, id string) []string {
		asked = append(asked, what)
		return []string{"approve", "loop", id}
	})
	log := w.belljar("log", "loop").out
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s\n%s", r.out, r.errout, log)
		}
	}()
	if r.status != 0 {
		t.Fatalf("status %d", r.status)
	}
	for file, want := range map[string]bool{"allowed.txt": true, "denied.txt": false, "asked.txt": true, "sneaky.txt": true} {
		if w.exists(file) != want {
			t.Errorf("%s is there: %v", file, !want)
		}
	}
	if len(asked) != 1 || !strings.Contains(asked[0], "touch asked.txt") {
		t.Errorf("asked: %q", asked)
	}
	if n := strings.Count(w.read("left.txt"), "there "); n != 12 {
		t.Errorf("what is left of the hooks: %s", w.read("left.txt"))
	}
	has := func(want ...string) {
		for _, s := range want {
			if !strings.Contains(log, s) {
				t.Errorf("the log lacks %q", s)
			}
		}
	}
	has("allow, allowed: "+name+" 'echo fine > allowed.txt'", "deny, denied: "+name+" 'id -u > denied.txt'", "no identities here (rule id *)")
	if ownKernel() {
		has("REFUSED: no identities here (rule id *)", "to run /usr/bin/touch asked.txt")
		mustContain(t, "what the script did", w.read("sneaky.txt"), "not permitted")
	} else {
		has("ask, allowed", `to run the line "touch asked.txt" of `+name)
	}
}

// TestHookOutside: outside of a sandbox the policy of the place answers, and one that cannot
// be read says no.
func TestHookOutside(t *testing.T) {
	w := newWorld(t)
	w.write("belljar.yaml", hookRules)
	in := func(line string) string {
		return `{"cwd": "` + w.proj + `", "tool_input": {"command": "` + line + `"}}`
	}
	for _, c := range []struct{ agent, in, want string }{
		{"claude", in("ls"), ""},
		{"claude", in("ls; id -u"), `"permissionDecision":"deny","permissionDecisionReason":"belljar: no identities here (rule id *): id -u"`},
		{"claude", in("touch x"), `"permissionDecision":"ask"`},
		{"codex", in("touch x"), `"permissionDecision":"deny"`},
		{"gemini", in("id"), `{"decision":"deny","reason":"belljar: no identities here`},
		{"opencode", "nonsense", `{"decision":"deny","reason":"belljar: what the agent told its hook could not be read"}`},
	} {
		r := w.belljarIn(c.in, "hook", c.agent)
		if r.status != 0 || !strings.Contains(r.out, c.want) || c.want == "" && r.out != "" {
			t.Errorf("%s %s: %d %q %s", c.agent, c.in, r.status, r.out, r.errout)
		}
	}
	if r := w.belljarIn(in("ls"), "hook", "emacs"); r.status != 2 {
		t.Errorf("an agent that nobody knows: %+v", r)
	}
	w.write("belljar.yaml", "version: 1\ncommands: {denied: []}\n")
	if r := w.belljarIn(in("ls"), "hook", "claude"); r.status != 0 || !strings.Contains(r.out, `"deny"`) {
		t.Errorf("a policy that cannot be read: %+v", r)
	}
}

// TestHookPage: whatever is inside may submit a line and gets a verdict, no more; a line that
// is asked is denied or allowed by somebody outside, once or for the sandbox.
func TestHookPage(t *testing.T) {
	w := newWorld(t)
	w.write("desk.yaml", "version: 1\ncommands: {allow: [\"ls *\"], context: {}}\n")
	asked := map[string]int{}
	r := w.answering(`
hook() { printf '{"cwd": "%s", "tool_input": {"command": "%s"}}' "$PWD" "$1" | /run/belljar/guest hook gemini | grep -o '"decision":"[a-z]*"' || echo passes; }
echo allowed $(hook 'ls -l')
echo once $(hook 'make once')
echo again $(hook 'make once')
echo kept $(hook 'make kept')
echo kept $(hook 'make kept')
echo never $(hook 'make never')
echo never $(hook 'make never')
echo shape $(printf x | /run/belljar/guest hook gemini)
ls -ld /etc/gemini-cli/settings.json
`, func(what, id string) []string {
		asked[what]++
		switch {
		case strings.Contains(what, "make kept"):
			if r := w.belljar("approve", "loop", id, "--always"); r.status == 0 {
				t.Errorf("for good: %+v", r)
			}
			return []string{"approve", "loop", id, "--sandbox"}
		case strings.Contains(what, "make once") && asked[what] == 1:
			return []string{"approve", "loop", id}
		}
		return []string{"deny", "loop", id}
	})
	deny := `"decision":"deny"`
	mustContain(t, "what ran inside", r.out, "allowed passes\n", "once passes\n", "again "+deny, "kept passes\nkept passes\n", "never "+deny+"\nnever "+deny, "shape {"+deny, "-r--r--r--")
	if len(asked) != 3 {
		t.Errorf("asked %v", asked)
	}
	mustContain(t, "the record", w.belljar("log", "loop", "--kind", "judge").out, "allow, allowed: gemini 'ls -l'", "ask, denied: gemini 'make never'", "no rule of the policy allows make")
	mustContain(t, "the user is told", r.errout, "count for the lines that known agents run")
}
