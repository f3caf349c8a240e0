package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

const commandRules = `version: 1
commands:
  allow: ["ls *"]
  ask: ["git push *", "touch *"]
  deny: [{pattern: "id *", reason: no identities here}, "npm publish *", "echo no *"]
`

// TestCommandsRefused: rules for commands hold when programs are executed, however they are
// started, and the reason is where a person and a model look for it.
func TestCommandsRefused(t *testing.T) {
	testenv.Need(t, "curl", "python3")
	w := newWorld(t)
	w.write("desk.yaml", commandRules)
	if !ownKernel() {
		r := w.belljar("run", "--policy", "desk.yaml", "--", "true")
		mustContain(t, "the refusal", r.errout, "hold commands in tier native", "--tier gvisor", "--best-effort")
		if r.status != 126 {
			t.Errorf("status %d", r.status)
		}
		r = w.belljar("run", "--policy", "desk.yaml", "--best-effort", "--", "sh", "-c", "id -u > /dev/null && echo ran")
		mustContain(t, "what is not enforced", r.errout, "not enforced here: commands")
		mustContain(t, "the run", r.out, "ran")
		return
	}
	r := w.belljar("run", "--policy", "desk.yaml", "--name", "loop", "--", "sh", "-c", `
id; echo direct $?
sh -c "exec /usr/bin/id"; echo shell $?
env -i /usr/bin/id; echo wrapped $?
echo /usr/bin/id | xargs -n1 env; echo xargs $?
ln -s /usr/bin/id innocent; ./innocent; echo link $?
python3 -c 'import os; os.execve(os.open("/usr/bin/id", 0), ["x"], os.environ)' 2>/dev/null; echo descriptor $?
curl -s http://policy.belljar/
ls > /dev/null && cat /proc/self/comm
`)
	for _, way := range []string{"direct 126", "shell 126", "wrapped 126", "link 126", "descriptor 1", "cat"} {
		mustContain(t, "what ran inside", r.out, way+"\n")
	}
	if strings.Contains(r.out, "uid=") {
		t.Errorf("it ran all the same: %s", r.out)
	}
	mustContain(t, "the page inside", r.out, "commands that did not run", "no identities here (rule id *)")
	mustContain(t, "standard error", r.errout, "Operation not permitted", "refused by rules for commands", "rules that allow commands count for the lines that known agents run")
	mustContain(t, "the record", w.belljar("log", "loop").out, "REFUSED: no identities here (rule id *)")
	mustContain(t, "the plan", w.belljar("plan", "--policy", "desk.yaml", "--", "true").out, "commands", "no identities here")
}

// TestCommandsAsked: what a rule asks about waits for a person.
func TestCommandsAsked(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it does not hold rules for commands: TestCommandsRefused")
	}
	w := newWorld(t)
	w.write("desk.yaml", commandRules)
	asked := map[string]int{}
	r := w.answering(`
touch once; echo once $?
touch always; echo always $?
touch always; echo again $?
(cd /tmp && touch always); echo elsewhere $?
touch never; echo never $?
touch never; echo still $?
ls
`, func(what, id string) []string {
		asked[what]++
		switch {
		case strings.Contains(what, "/touch once (in "):
			return []string{"approve", "loop", id}
		case strings.Contains(what, "/touch always (in "):
			if r := w.belljar("approve", "loop", id, "--always"); r.status == 0 || !strings.Contains(r.errout, "take the rule out of the policy") {
				t.Errorf("for good: %+v", r)
			}
			return []string{"approve", "loop", id, "--sandbox"}
		}
		return []string{"deny", "loop", id}
	})
	mustContain(t, "what ran inside", r.out, "once 0\n", "always 0\n", "again 0\n", "elsewhere 0\n", "never 126\n", "still 126\n", "\nonce\n", "\nalways\n")
	if strings.Contains(r.out, "\nnever\n") || len(asked) != 4 {
		t.Errorf("asked %v\n%s", asked, r.out)
	}
	for what, n := range asked {
		if n != 1 || !strings.HasPrefix(what, "to run ") {
			t.Errorf("%q was asked %d times", what, n)
		}
	}
	mustContain(t, "the record", w.belljar("log", "loop").out, "to run /usr/bin/touch once (in ", "): allowed (once)", "to run /usr/bin/touch never (in ", "): denied")
}

// TestCommandsRace: what was judged is what runs, while another thread rewrites it. Without
// the rule the same program shows that both texts run.
func TestCommandsRace(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it does not hold rules for commands: TestCommandsRefused")
	}
	testenv.Need(t, "python3")
	w := newWorld(t)
	w.write("desk.yaml", commandRules)
	n := 20
	if os.Getenv("BELLJAR_SOAK") != "" {
		n = 100_000
	}
	w.write("race.py", fmt.Sprintf(`
import ctypes, os, sys, threading
libc = ctypes.CDLL(None)
word = ctypes.create_string_buffer(b"ok", 3)
argv = (ctypes.c_char_p * 4)(b"echo", ctypes.cast(word, ctypes.c_char_p), b"x", None)
def flip():
    while True:
        word.raw = b"no\0"
        word.raw = b"ok\0"
sys.setswitchinterval(1e-6)
for i in range(%d):
    pid = os.fork()
    if pid == 0:
        threading.Thread(target=flip, daemon=True).start()
        libc.execv(b"/bin/echo", argv)
        os._exit(9)
    os.waitpid(pid, 0)
`, n))
	held := w.belljar("run", "--policy", "desk.yaml", "--", "python3", "race.py")
	free := w.belljar("run", "--", "python3", "race.py")
	if strings.Contains(held.out, "no x") || !strings.Contains(held.out, "ok x") {
		t.Errorf("with the rule: %.300s %s", held.out, held.errout)
	}
	if !strings.Contains(free.out, "no x") || !strings.Contains(free.out, "ok x") {
		t.Errorf("control: the race is none: %.300s %s", free.out, free.errout)
	}
}
