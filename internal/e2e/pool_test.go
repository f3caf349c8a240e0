package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A poolLine is what pool ls --json tells.
type poolLine struct {
	ID, Workspace, Tier, Fault string
	Number, Warm, Taken        int
}

// pool starts a pool and stops it at the end of the test; then nothing of it is left.
func (w *world) pool(number int, flags ...string) (id string) {
	w.t.Helper()
	args := []string{"pool", "start", "-n", fmt.Sprint(number)}
	if tier != "" {
		args = append(args, "--tier", tier)
	}
	r := w.belljar(append(args, flags...)...)
	if r.status != 0 || !strings.HasPrefix(r.out, "pool-") {
		w.t.Fatalf("pool start: %+v", r)
	}
	w.t.Cleanup(func() {
		if r := w.belljar("pool", "stop"); r.status != 0 {
			w.t.Errorf("pool stop: %+v", r)
		}
		if left := w.warm(); len(left) > 0 {
			w.t.Errorf("pool stop left %v", left)
		}
		if l := w.pools(); len(l) > 0 {
			w.t.Errorf("pool stop left %+v", l)
		}
	})
	return strings.TrimSpace(r.out)
}

func (w *world) pools() (list []poolLine) {
	w.t.Helper()
	r := w.belljar("pool", "ls", "--json")
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		w.t.Fatalf("%v: %+v", err, r)
	}
	var here []poolLine
	for _, l := range list {
		if l.Workspace == w.proj {
			here = append(here, l)
		}
	}
	return here
}

// warm are the names of those that wait.
func (w *world) warm() map[string]bool {
	w.t.Helper()
	out := map[string]bool{}
	for name, l := range w.ps() {
		if l.State == "warm" {
			out[name] = true
		}
	}
	return out
}

// full waits until n of them wait, and returns their names.
func (w *world) full(n int) (names map[string]bool) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d are warm", n), func() bool {
		names = w.warm()
		return len(names) == n
	})
	return names
}

// took says whether a run with flags took one of those that wait; it must work anyhow.
func (w *world) took(names map[string]bool, flags ...string) bool {
	w.t.Helper()
	return names[strings.TrimSpace(w.sh("cat /etc/hostname", flags...))]
}

// TestPool: a run takes a sandbox that waits, and is like one that starts cold: streams,
// status, folder, environment, files as they are on the host now, record, closing lines. It
// is used once, and another takes its place.
func TestPool(t *testing.T) {
	w := newWorld(t)
	w.host("git", "init", "-q", ".")
	w.pool(1)
	names := w.full(1)
	w.write("sub/later", "written while it waited\n")
	w.write("README", "hello again\n")
	w.env = append(w.env, "TERM=vt100")
	c := w.cmd(t.Context(), "run", "--", "sh", "-c", `cat /etc/hostname; pwd; echo $TERM; cat later ../README -; echo oops >&2; echo made > made; echo x > /tmp/x; echo x > ~/x; exit 7`)
	c.Dir = filepath.Join(w.proj, "sub")
	var out, errout strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("typed\n"), &out, &errout
	_ = c.Run()
	if got := c.ProcessState.ExitCode(); got != 7 {
		t.Errorf("status %d\n%s", got, errout.String())
	}
	name, rest, _ := strings.Cut(out.String(), "\n")
	if !names[name] {
		t.Errorf("it started cold: %s is none of %v", name, names)
	}
	if want := w.proj + "/sub\nvt100\nwritten while it waited\nhello again\ntyped\n"; rest != want {
		t.Errorf("%q, want %q", rest, want)
	}
	if !w.exists("sub/made") {
		t.Error("what passes was not written through")
	}
	mustContain(t, "its words", errout.String(), "oops\n", "1 file changed: sub/made", "belljar log "+name+" tells")
	if log := w.belljar("log", name).out; !strings.Contains(log, "after it was made") || !strings.Contains(log, "status 7") {
		t.Errorf("%s", log)
	}
	if r := w.belljar("evidence", name); r.status != 0 {
		t.Errorf("%+v", r)
	} else {
		w.write(filepath.Join(w.home, "evidence.json"), r.out)
		r = w.belljar("evidence", "verify", filepath.Join(w.home, "evidence.json"))
		mustContain(t, "evidence", r.out+r.errout, "command     sh -c")
	}
	if r := w.belljar("log", "verify", name); r.status != 0 {
		t.Errorf("%+v", r)
	}
	again := w.full(1)
	if again[name] {
		t.Error("it is used twice")
	}
	if out := w.sh("cat /etc/hostname; ls ~/x /tmp/x 2>&1; true"); !again[strings.SplitN(out, "\n", 2)[0]] || strings.Count(out, "No such file") != 2 {
		t.Errorf("the next one sees what was before it: %q of %v", out, again)
	}
	if l := w.pools(); len(l) != 1 || l[0].Taken != 2 {
		t.Errorf("%+v", l)
	}
	again = w.full(1)
	for name := range again {
		if r := w.belljar("exec", name, "true"); r.status != 125 || !strings.Contains(r.errout, "it waits for belljar run") {
			t.Errorf("%+v", r)
		}
		if r := w.belljar("stop", name); r.status != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// TestPoolDiffers: what is not exactly the same is never given to a run, and is replaced by
// what is.
func TestPoolDiffers(t *testing.T) {
	w := newWorld(t)
	shared := filepath.Join(w.home, "shared")
	w.write(filepath.Join(shared, "f"), "x")
	w.env = append(w.env, "API_KEY_A=first-value-of-the-key")
	w.pool(1, "--credential", "API_KEY_A=api.example.com", "--allow", "api.example.com", "--env", "PASSED_TOKEN=one-secret-passed")
	names := w.full(1)
	same := []string{"--credential", "API_KEY_A=api.example.com", "--allow", "api.example.com", "--env", "PASSED_TOKEN=one-secret-passed"}
	for what, flags := range map[string][]string{
		"one mount more": append([]string{"--read", shared}, same...),
		"one host more":  append([]string{"--allow", "docs.example.com"}, same...),
		"one limit":      append([]string{"--memory", "3GiB"}, same...),
		"the mode":       append([]string{"--mode", "review"}, same...),
		"a hidden name":  append([]string{"--hide", "*.tf"}, same...),
		"a name":         append([]string{"--name", "called"}, same...),
		"no credential":  same[4:],
		"a passed value": {"--credential", "API_KEY_A=api.example.com", "--allow", "api.example.com", "--env", "PASSED_TOKEN=two-secret-passed"},
	} {
		if w.took(names, flags...) {
			t.Errorf("%s: a run took what was made without", what)
		}
	}
	before := w.env
	w.env = append(w.env[:len(w.env):len(w.env)], "API_KEY_A=other-value-of-the-key")
	if w.took(names, same...) {
		t.Error("a run with another key took it")
	}
	w.env = before
	if names = w.full(1); !w.took(names, same...) {
		t.Error("the same is not taken")
	}
	// The user's own policy, then the project's folder.
	names = w.full(1)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nfiles: {hide: [\"*.secret\"]}\n")
	w.write("a.secret", "x")
	if out := w.sh("cat /etc/hostname; ls", same...); names[strings.SplitN(out, "\n", 2)[0]] || strings.Contains(out, "a.secret") {
		t.Errorf("a run took what has the old policy: %s", out)
	}
	eventually(t, "what is stale is replaced", func() bool {
		now := w.warm()
		for n := range names {
			delete(now, n)
		}
		if len(now) == 1 {
			names = now
			return true
		}
		w.sh("true", same...) // who finds nothing has the pool look
		return false
	})
	if out := w.sh("cat /etc/hostname; ls", same...); strings.Contains(out, "a.secret") {
		t.Errorf("the new policy does not hold: %s", out)
	}
	names = w.full(1)
	if err := os.Rename(w.proj, w.proj+".old"); err != nil {
		t.Fatal(err)
	}
	w.write("README", "another project\n")
	if out := w.sh("cat /etc/hostname README", same...); names[strings.SplitN(out, "\n", 2)[0]] || !strings.Contains(out, "another project") {
		t.Errorf("a run took what serves a folder that was moved away: %s", out)
	}
}

// TestPoolCaller: a run whose caller hands down something else than that of the pool, or has
// belljar itself trust or reach something else, starts cold.
func TestPoolCaller(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	names := w.full(1)
	before := w.env
	for _, v := range []string{"SSL_CERT_FILE=/dev/null", "HTTPS_PROXY=http://u:p@127.0.0.1:9", "GODEBUG=x509sha1=1"} {
		w.env = append(before[:len(before):len(before)], v)
		if w.took(names) {
			t.Errorf("%s: a run took what was made without", v)
		}
	}
	w.env = before
	lines := []string{"ulimit -s 4096", "exec taskset -c 0 \"$@\""}
	if os.Geteuid() != 0 { // root's runs give new privileges up before they look
		lines = append(lines, "exec setpriv --no-new-privs \"$@\"")
	}
	for _, line := range lines {
		c := w.cmd(t.Context(), "run", "--", "cat", "/etc/hostname")
		c.Args = append([]string{"sh", "-c", line + "; exec \"$@\"", "sh"}, append([]string{binary}, c.Args[1:]...)...)
		c.Path = "/bin/sh"
		out, err := c.Output()
		if err != nil || names[strings.TrimSpace(string(out))] {
			t.Errorf("%s: %q %v", line, out, err)
		}
	}
	if names = w.full(1); !w.took(names) {
		t.Error("the same is not taken")
	}
}

// TestPoolSignals: a command that is killed ends its run soon, and one that takes the
// caller's signals is not left by a caller who sends several.
func TestPoolSignals(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	took := func(line string, status int) time.Duration {
		t.Helper()
		names := w.full(1)
		start := time.Now()
		if r := w.trySh("cat /etc/hostname; " + line); r.status != status || !names[strings.TrimSpace(r.out)] {
			t.Errorf("%+v", r)
		}
		return time.Since(start)
	}
	usual := took("exit 3", 3)
	if d := took("kill -9 $$", 137); d > 4*time.Second+4*usual {
		t.Errorf("a command that was killed ended after %s, another one after %s", d, usual)
	}
	names := w.full(1)
	c := w.cmd(t.Context(), "run", "--", "sh", "-c", `n=0; trap 'n=$((n+1)); echo $n' INT; cat /etc/hostname; while [ $n -lt 3 ]; do sleep 0.1; done; sleep 1; exit 6`)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !names[lines.Text()] {
		t.Errorf("it started cold: %q", lines.Text())
	}
	for _, want := range []string{"1", "2", "3"} {
		_ = c.Process.Signal(syscall.SIGINT)
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != 6 {
		t.Errorf("%s", c.ProcessState)
	}
}

// TestPoolUndo: what runs left can be applied and taken back while others wait to be taken;
// the newest run is the one that began last, whenever its sandbox was made.
func TestPoolUndo(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	names := w.full(1)
	w.sh("echo cold > f", "--hide", "*.none")
	if out := w.sh("cat /etc/hostname; echo pooled > f; echo x > .envrc"); !names[strings.TrimSpace(out)] {
		t.Errorf("it started cold: %s", out)
	}
	w.full(1)
	if log := w.belljar("log"); !strings.Contains(log.out, "echo pooled") {
		t.Errorf("the newest run is another one: %+v", log)
	}
	list := w.belljar("log", "--list").out
	mustContain(t, "the list of runs", list, "echo cold", "echo pooled")
	for n := range w.full(1) {
		if strings.Contains(list, n) {
			t.Errorf("%s, which nobody took, is listed: %s", n, list)
		}
	}
	if r := w.belljar("apply"); r.status != 0 || w.read(".envrc") != "x\n" {
		t.Errorf("%+v", r)
	}
	w.full(1)
	if r := w.belljar("undo"); r.status != 0 || w.exists(".envrc") {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("undo"); r.status != 0 || w.read("f") != "cold\n" {
		t.Errorf("%+v: %q", r, w.read("f"))
	}
	w.full(1)
}

// TestPoolRace: two that come for one get one each, of which one started cold.
func TestPoolRace(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	rounds := 8
	if os.Getenv("BELLJAR_SOAK") != "" {
		rounds = 100
	}
	taken := 0
	for range rounds {
		names := w.full(1)
		var got [2]string
		var both sync.WaitGroup
		for i := range got {
			both.Go(func() { got[i] = strings.TrimSpace(w.sh("cat /etc/hostname")) })
		}
		both.Wait()
		if got[0] == got[1] {
			t.Fatalf("%s was given to two", got[0])
		}
		if names[got[0]] || names[got[1]] {
			taken++
		}
	}
	if taken != rounds {
		t.Errorf("%d of %d were taken", taken, rounds)
	}
}

// TestPoolStopped: whoever stops a pool while runs come for it breaks none of them.
func TestPoolStopped(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		w.pool(1)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { w.sh("true") })
		}
		all.Go(func() {
			if r := w.belljar("pool", "stop"); r.status != 0 {
				t.Errorf("%+v", r)
			}
		})
		all.Wait()
	}
}

// poolKeeper is the process that keeps the pool of w; 0: there is none.
func (w *world) poolKeeper() int {
	w.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range all {
		b, err := os.ReadFile(f)
		env, envErr := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if err != nil || envErr != nil || !strings.HasPrefix(string(b), "belljar-pool\x00") || !strings.Contains(string(env), "HOME="+w.home+"\x00") {
			continue
		}
		var pid int
		_, _ = fmt.Sscanf(f, "/proc/%d/", &pid)
		return pid
	}
	return 0
}

// warmPID is the supervisor of one that waits.
func (w *world) warmPID() int {
	w.t.Helper()
	all, _ := filepath.Glob(filepath.Join(w.state(), "sandboxes/*/run.json"))
	for _, f := range all {
		var e struct {
			PID             int
			Warm, Workspace string
		}
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &e) == nil && e.Warm != "" && e.Workspace == w.proj {
			return e.PID
		}
	}
	w.t.Fatal("no supervisor")
	return 0
}

// TestPoolKilled: whatever is killed, runs go on to work, and nothing is left.
func TestPoolKilled(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	for _, which := range []func(all []int) int{
		func(all []int) int { return all[0] }, // the supervisor
		func(all []int) int { return all[1] },
		func(all []int) int { return all[len(all)-1] },
	} {
		names := w.full(1)
		pid := w.warmPID()
		below := testenv.Descendants(pid)
		_ = syscall.Kill(which(append([]int{pid}, below...)), syscall.SIGKILL)
		// Taken before anybody noticed, it fails as one does that is killed later: loudly. What
		// was killed may be the process in which the command's own code would have run.
		if r := w.trySh("true"); r.status != 0 && r.status != 137 && (r.status != 125 || !strings.Contains(r.errout, "the sandbox ended")) {
			t.Errorf("%+v", r)
		}
		eventually(t, "it is gone", func() bool {
			for n := range w.ps() {
				if names[n] {
					return false
				}
			}
			return true
		})
	}
	// The one who took it: what runs ends with them.
	w.full(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := w.cmd(ctx, "run", "--", "sh", "-c", "echo ready; exec sleep 1000")
	in, _ := startReady(t, c)
	_ = c.Process.Kill()
	_ = in.Close()
	_ = c.Wait()
	eventually(t, "the run ends with its caller", func() bool {
		for _, l := range w.ps() {
			if l.State != "warm" && l.State != "starting" {
				return false
			}
		}
		return true
	})
	// Who keeps the pool: what waits goes, what runs does not.
	w.full(1)
	c = w.cmd(ctx, "run", "--", "sh", "-c", "echo ready; read x; exit 5")
	in, _ = startReady(t, c)
	_ = syscall.Kill(w.poolKeeper(), syscall.SIGKILL)
	eventually(t, "what waits goes", func() bool { return len(w.warm()) == 0 && w.poolKeeper() == 0 })
	fmt.Fprintln(in)
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != 5 {
		t.Errorf("status %d", got)
	}
	eventually(t, "all is gone", func() bool { return len(w.ps()) == 0 })
	if l := w.pools(); len(l) > 0 {
		t.Errorf("%+v", l)
	}
	w.sh("true")
}

// TestPoolTime: limits count from when it was taken.
func TestPoolTime(t *testing.T) {
	w := newWorld(t)
	w.pool(1, "--time", "6s")
	names := w.full(1)
	time.Sleep(7 * time.Second) // that is what is tested
	if !w.took(names, "--time", "6s") {
		t.Error("it started cold")
	}
	names = w.full(1)
	if r := w.trySh("cat /etc/hostname; exec sleep 1000", "--time", "6s"); r.status != 124 || !names[strings.TrimSpace(r.out)] || !strings.Contains(r.errout, "belljar: error:") {
		t.Errorf("%+v", r)
	}
}

// TestPoolTerminal: on a terminal a sandbox that waited is like any other: it has one of
// its own, of the caller's size, and the closing lines stand behind what was printed.
func TestPoolTerminal(t *testing.T) {
	w := newWorld(t)
	w.pool(1)
	s := newScreen(t, w)
	names := w.full(1)
	// tmux says which shell is the user's, which is part of a plan.
	line := "SHELL=/bin/sh " + binary + " run -- sh -c 'cat /etc/hostname; stty size; read x; echo got $x; exit 3'; echo status $?"
	if tier != "" {
		line = strings.Replace(line, " run ", " run --tier "+tier+" ", 1)
	}
	s.keys(line, "Enter")
	s.want("30 100")
	s.keys("word", "Enter")
	s.want("got word")
	s.want("status 3")
	for n := range names {
		s.want(n + "\n")
	}
	s.want("tells what they did")
}
