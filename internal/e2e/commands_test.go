package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
		mustContain(t, "the refusal", r.errout, "hold commands in tier native", "the rule git push * (", "--tier gvisor", "--best-effort")
		if r.status != 126 {
			t.Errorf("status %d", r.status)
		}
		r = w.belljar("run", "--policy", "desk.yaml", "--best-effort", "--", "sh", "-c", "touch new && echo ran; /usr/bin/id; echo id $?")
		mustContain(t, "what is not enforced", r.errout, "not enforced here: commands: the rule git push *", "the rule touch *", "the rule npm publish *")
		mustContain(t, "the run", r.out, "ran\nid 126\n")
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

const wholePrograms = `version: 1
commands:
  deny: [{pattern: "id *", reason: no identities here}, /usr/bin/env *, "python3 *", "notthere *"]
`

// TestProgramsDenied: a rule that denies a whole program holds in every tier, by whatever name
// and way the program is started, and nothing of the host changes.
func TestProgramsDenied(t *testing.T) {
	testenv.Need(t, "curl", "python3")
	w := newWorld(t)
	w.write("desk.yaml", wholePrograms)
	r := w.belljar("run", "--policy", "desk.yaml", "--name", "loop", "--", "/bin/bash", "-c", `
id; echo direct $?
/usr/bin/env; echo path $?
python3 -c 'print("ran")'; echo name $?
ln -s /usr/bin/id innocent; ./innocent; echo link $?
exec 5< /usr/bin/id; /proc/self/fd/5; echo descriptor $?
for ld in /lib*/ld-linux*.so.*; do $ld /usr/bin/id; echo loader $?; done
ls > /dev/null; echo other $?
curl -s http://policy.belljar/
`)
	for _, way := range []string{"direct 126", "path 126", "name 126", "link 126", "other 0"} {
		mustContain(t, "what ran inside", r.out, way+"\n")
	}
	if strings.Contains(r.out, "uid=") || strings.Contains(r.out, "PATH=") || strings.Contains(r.out, "ran\n") {
		t.Errorf("it ran all the same: %s", r.out)
	}
	mustContain(t, "the page inside", r.out, "no identities here (rule id *)", "/usr/bin/id")
	if st, err := os.Stat("/usr/bin/id"); err != nil || st.Size() == 0 || st.Mode().Perm()&0o111 == 0 {
		t.Errorf("the host's program is %v %v", st, err)
	}
	explained := w.belljar("policy", "explain", "--tier", cmp.Or(tier, "gvisor"), "--policy", "desk.yaml", "--for", "/bin/bash", "command", "id -u")
	mustContain(t, "the explanation", explained.out, "command id -u: refuse", "no identities here")
	if ownKernel() {
		return
	}
	mustContain(t, "the explanation", explained.out, "covers /usr/bin/id", "another program that does the same still runs")
	plan := w.belljar("plan", "--tier", tier, "--policy", "desk.yaml", "--", "/bin/bash")
	mustContain(t, "the plan", plan.out, "covered  /usr/bin/id", "no program notthere is visible inside")
	mustContain(t, "the record", w.belljar("log", "loop", "--json").out, `"denied":[{"verdict":"deny","pattern":"id *"`)
	r = w.belljar("run", "--policy", "desk.yaml", "--", "id")
	if mustContain(t, "the command itself", r.errout, "the rule id * (", "denies this program"); r.status != 126 {
		t.Errorf("status %d", r.status)
	}
	// In places that can be written nothing can be kept away.
	w.write("bin/id", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(w.proj, "bin/id"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "PATH="+filepath.Join(w.proj, "bin")+":/usr/bin:/bin")
	r = w.belljar("run", "--policy", "desk.yaml", "--", "/bin/bash", "-c", "true")
	if mustContain(t, "a writable place", r.errout, "which is served to the sandbox", "--tier gvisor"); r.status != 126 {
		t.Errorf("status %d", r.status)
	}
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

// racer executes itself over and over, while another thread rewrites the argument and the path
// in memory. Whoever is denied tries again; whoever runs looks at what was executed: the word
// "no" and the file racer_b are what the rules deny.
const racer = `
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
static char word[4] __attribute__((aligned(8))) = "ok", path[] = "./racer_a";
static void *flip(void *x) {
	volatile uint16_t *w = (void *)word;
	volatile char *p = &path[8];
	uint16_t ok, no;
	memcpy(&ok, "ok", 2); memcpy(&no, "no", 2);
	for (unsigned i = 0;; i++) { *w = i & 7 ? no : ok; *p = i & 8 ? 'b' : 'a'; } // mostly denied, which is fast
}
int main(int argc, char **argv) {
	if (argc < 8) return 9;
	long left = atol(argv[2]), denied = atol(argv[3]), ran = atol(argv[4]), changed = atol(argv[5]), bad = atol(argv[6]);
	char exe[256] = "";
	if (readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) return 8;
	const char *called = (const char *)getauxval(AT_EXECFN);
	ran++;
	bad += strcmp(argv[1], "no") == 0 || strstr(exe, "racer_b") || strstr(called, "racer_b");
	changed += strncmp(argv[1], argv[7], 2) != 0;
	pthread_t t;
	if (pthread_create(&t, 0, flip, 0)) return 7;
	char n[5][24], was[4] = "";
	char *next[] = {"racer", word, n[0], n[1], n[2], n[3], n[4], was, 0};
	for (; left > 0; denied++) {
		left--;
		long v[] = {left, denied, ran, changed, bad};
		for (int i = 0; i < 5; i++) snprintf(n[i], sizeof n[i], "%ld", v[i]);
		memcpy(was, word, 2);
		execv(path, next);
		if (errno != EPERM) { perror("execv"); return 6; }
	}
	printf("denied %ld ran %ld changed %ld forbidden %ld\n", denied, ran, changed, bad);
	return 0;
}
`

// raced is what racer says in the end: how often it was denied and ran, how often the word had
// changed between the call and the kernel's copy, how often what ran was what the rules deny.
type raced struct{ denied, ran, changed, forbidden int }

func (w *world) race(n int, flags ...string) (r raced) {
	line := fmt.Sprintf("./racer_a ok %d 0 0 0 0 ok", n)
	out := w.trySh(line, flags...)
	if _, err := fmt.Sscanf(out.out, "denied %d ran %d changed %d forbidden %d", &r.denied, &r.ran, &r.changed, &r.forbidden); err != nil {
		w.t.Errorf("%v: %d %.500s %.500s", err, out.status, out.out, out.errout)
	}
	w.t.Logf("%d tries: %+v", n, r)
	return r
}

// TestCommandsRace: what was judged is what runs, while another thread rewrites argument and
// path. Without the rules the same program shows that they change, and that all of them run.
func TestCommandsRace(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it does not hold rules for commands: TestCommandsRefused")
	}
	testenv.Need(t, "gcc")
	w := newWorld(t)
	w.write("racer.c", racer)
	w.write("desk.yaml", "version: 1\ncommands: {deny: ['racer no *', 'racer_a no *', 'racer_b *']}\n")
	for _, name := range []string{"racer_a", "racer_b"} {
		w.host("gcc", "-O1", "-static", "-pthread", "-o", name, "racer.c")
	}
	rounds, n := 1, 500
	if os.Getenv("BELLJAR_SOAK") != "" {
		rounds, n = 25, 4000 // each ends before a run of these tests must
	}
	var all sync.WaitGroup
	atOnce := make(chan bool, 4)
	for range rounds {
		all.Go(func() {
			atOnce <- true
			defer func() { <-atOnce }()
			if r := w.race(n, "--policy", "desk.yaml"); r.forbidden != 0 || r.denied < n/10 || r.ran < 5 || r.denied+r.ran != n+1 {
				t.Errorf("with the rules: %+v", r)
			}
		})
	}
	all.Wait()
	if r := w.race(400); r.forbidden < 20 || r.changed == 0 || r.denied != 0 {
		t.Errorf("control: the race is none: %+v", r)
	}
}
