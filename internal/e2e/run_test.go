package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestKernel(t *testing.T) {
	if !ownKernel() {
		t.Skip("the tier declares that it has no kernel of its own")
	}
	w := newWorld(t)
	host, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	out := w.sh("uname -r; dmesg | head -n 3")
	mustLack(t, "uname -r", out, strings.TrimSpace(string(host)))
	mustContain(t, "dmesg", out, "gVisor")
}

func TestExitStatus(t *testing.T) {
	w := newWorld(t)
	w.write("notexec", "x")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"run", "--", "true"}, 0},
		{[]string{"run", "--", "false"}, 1},
		{[]string{"run", "--", "sh", "-c", "exit 42"}, 42},
		{[]string{"run", "--", "sh", "-c", "kill -TERM $$"}, 128 + 15},
		{[]string{"run", "--", "sh", "-c", "kill -KILL $$"}, 128 + 9},
		{[]string{"run", "--", "no-such-command-anywhere"}, 127},
		{[]string{"run", "--", "./notexec"}, 126},
		{[]string{"run", "--time", "1s", "--", "sleep", "60"}, 124},
	} {
		if r := w.belljar(c.args...); r.status != c.want {
			t.Errorf("belljar %q: status %d, want %d\n%s", c.args, r.status, c.want, r.errout)
		}
	}
}

func TestStreams(t *testing.T) {
	w := newWorld(t)
	if r := w.belljarIn("hi", "run", "--", "cat"); r.out != "hi" || r.status != 0 {
		t.Errorf("cat: %+v", r)
	}
	r := w.trySh("echo out; echo err >&2")
	if r.out != "out\n" {
		t.Errorf("stdout carries more than the command's own: %q", r.out)
	}
	mustContain(t, "stderr", r.errout, "err\n")
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	if r := w.belljarIn(big, "run", "--", "cat"); r.out != big {
		t.Errorf("1 MiB through cat: got %d bytes", len(r.out))
	}
	if r := w.trySh("yes | head -n 3"); r.out != "y\ny\ny\n" {
		t.Errorf("pipe inside: %q", r.out)
	}
}

func TestClosedStdout(t *testing.T) {
	w := newWorld(t)
	c := exec.Command("sh", "-c", fmt.Sprintf("%s run -- yes | head -n 2; true", binary))
	c.Dir, c.Env = w.proj, w.env
	out, err := c.Output()
	if err != nil || string(out) != "y\ny\n" {
		t.Errorf("%v %q", err, out)
	}
}

// A regular file as standard output is appended to by others meanwhile.
func TestStdoutFile(t *testing.T) {
	w := newWorld(t)
	out := filepath.Join(w.home, "log")
	c := exec.Command("sh", "-c", fmt.Sprintf("(echo first; %s run -- echo second; echo third) > %s", binary, out))
	c.Dir, c.Env = w.proj, w.env
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil || string(b) != "first\nsecond\nthird\n" {
		t.Errorf("%v %q", err, b)
	}
}

func TestForwardedSignals(t *testing.T) {
	// What is caught here is not ignored there, also when the tests run under nohup or
	// in the background of a script, where SIGINT is ignored.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(caught)
	w := newWorld(t)
	for sig, want := range map[syscall.Signal]string{syscall.SIGINT: "int", syscall.SIGTERM: "term", syscall.SIGHUP: "hup"} {
		c := w.cmd(context.Background(), "run", "--", "sh", "-c",
			`trap 'echo int; exit 7' INT; trap 'echo term; exit 7' TERM; trap 'echo hup; exit 7' HUP; echo ready; while :; do sleep 0.05; done`)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		line := readUntil(t, out, "ready\n")
		if err := syscall.Kill(-c.Process.Pid, sig); err != nil {
			t.Fatal(err)
		}
		line += readUntil(t, out, "")
		err = c.Wait()
		if c.ProcessState.ExitCode() != 7 || !strings.Contains(line, want) {
			t.Errorf("%v: status %d (%v), output %q", sig, c.ProcessState.ExitCode(), err, line)
		}
	}
}

// readUntil reads until the text has the marker, and what came with it, or to the end
// when it is empty.
func readUntil(t *testing.T, r interface{ Read([]byte) (int, error) }, marker string) string {
	t.Helper()
	var b strings.Builder
	buf := make([]byte, 256)
	for marker == "" || !strings.Contains(b.String(), marker) {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			if marker != "" {
				t.Fatalf("output ended before %q: %q", marker, b.String())
			}
			break
		}
	}
	return b.String()
}

func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	out := w.sh("env; echo; id -u; pwd; echo ~")
	mustLack(t, "environment", out, envSecret, "AWS_SECRET", "GITHUB_TOKEN", "BELLJAR")
	mustContain(t, "environment", out, "HOME="+w.home, w.proj, "LANG=C.UTF-8", fmt.Sprintf("\n%d\n", os.Getuid()))
	if got := w.sh("echo $FOO $BAR", "--env", "FOO=1", "--env", "BAR"); got != "1\n" {
		t.Errorf("--env: %q", got)
	}
}

func TestClosingLines(t *testing.T) {
	w := newWorld(t)
	w.host("git", "init", "-q")
	r := w.trySh("echo new > new.txt; echo x > .git/hooks/pre-commit; getent hosts refused.example; true")
	mustContain(t, "closing lines", r.errout, "new.txt", "refused.example", "--allow refused.example", "pre-commit")
	var own int
	for _, l := range strings.Split(r.errout, "\n") {
		if strings.HasPrefix(l, "belljar: ") {
			own++
		}
	}
	if own != 3 {
		t.Errorf("%d closing lines, want 3:\n%s", own, r.errout)
	}
}

func TestLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.sh("mkdir -p ~/x /tmp/y; echo z > /tmp/y/z; chmod 000 ~/x")
	entries, err := os.ReadDir(w.proj)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("litter in the project: %v", entries)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	mustLack(t, "mounts of the host", string(mounts), "belljar")
}

// TestWorkspaceRefused: some folders can be no workspace.
func TestWorkspaceRefused(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(w.home, ".local/state/belljar")
	if os.Geteuid() == 0 {
		state = "/var/lib/belljar"
	}
	w.sh("true")
	for _, dir := range []string{"/", w.home, filepath.Dir(w.home), state} {
		r := w.belljar("run", "--workspace", dir, "--", "true")
		if r.status == 0 || !strings.Contains(r.errout, "belljar: error:") {
			t.Errorf("--workspace %s: status %d\n%s", dir, r.status, r.errout)
		}
	}
}

func TestWords(t *testing.T) {
	w := newWorld(t)
	w.write("bad.yaml", "version: 1\nnetwrok: {}\n")
	w.write("later.yaml", "version: 1\nnetwork: {upstream: x}\n")
	cases := [][]string{
		{"runn"}, {"run"}, {"run", "--"}, {"run", "--no-such-flag", "--", "true"},
		{"run", "--tier", "nonsense", "--", "true"}, {"run", "--mode", "nonsense", "--", "true"},
		{"run", "--memory", "x", "--", "true"}, {"run", "--memory", "-1", "--", "true"}, {"run", "--memory", "0", "--", "true"},
		{"run", "--cpus", "0", "--", "true"}, {"run", "--processes", "-4", "--", "true"}, {"run", "--time", "yesterday", "--", "true"},
		{"run", "--allow", "", "--", "true"}, {"run", "--allow", "*.com", "--", "true"}, {"run", "--allow", "a b", "--", "true"},
		{"run", "--allow", "evil.example:0", "--", "true"}, {"run", "--allow", "evil.example:99999", "--", "true"},
		{"run", "--allow", "169.254.169.254", "--", "true"}, {"run", "--allow", "127.0.0.1:80", "--", "true"},
		{"run", "--allow", "http://x.example/", "--", "true"}, {"run", "--allow", "evil\x01.example", "--", "true"},
		{"run", "--preset", "nonsense", "--", "true"}, {"run", "--policy", "missing.yaml", "--", "true"},
		{"run", "--policy", "bad.yaml", "--", "true"}, {"run", "--policy", "later.yaml", "--", "true"},
		{"run", "--read", "/no/such/path", "--", "true"}, {"run", "--write", "/", "--", "true"},
		{"run", "--write", w.home, "--", "true"}, {"run", "--write", filepath.Join(w.home, ".npm"), "--", "true"},
		{"run", "--hide", "[", "--", "true"}, {"run", "--env", "=x", "--", "true"},
		{"run", "--name", "UPPER", "--", "true"}, {"run", "--name", "run", "--", "true"}, {"run", "--name", "../x", "--", "true"},
		{"run", "--workspace", "/no/such/dir", "--", "true"}, {"run", "--workspace", "README", "--", "true"},
		{"diff", "no-such-sandbox-name"}, {"apply", "--nonsense"}, {"log", "no-such"}, {"log", "verify", "no-such"},
		{"log", "--kind", "nonsense"}, {"policy", "nonsense"}, {"policy", "check", "missing.yaml"}, {"policy", "check", "bad.yaml"},
		{"policy", "explain"}, {"policy", "diff", "bad.yaml"}, {"plan", "--nonsense"}, {"doctor", "extra"}, {"trust", "/no/such"},
	}
	for _, args := range cases {
		r := w.belljar(args...)
		if r.status != 2 && r.status != 125 && r.status != 126 {
			t.Errorf("belljar %q: status %d, want 2 or 125\n%s%s", args, r.status, r.out, r.errout)
		}
		if !strings.HasPrefix(r.errout, "belljar: error: ") || strings.Contains(r.errout, "goroutine ") {
			t.Errorf("belljar %q: %q", args, r.errout)
		}
	}
}

func TestHelpNamesOnlyWhatIsThere(t *testing.T) {
	w := newWorld(t)
	help := w.belljar("--help").out
	for _, word := range []string{"run", "diff", "apply", "discard", "log", "policy", "plan", "trust", "doctor", "completion"} {
		mustContain(t, "help", help, word)
		if r := w.belljar(word, "--help"); r.status != 0 || len(r.out) < 80 {
			t.Errorf("belljar %s --help: %d %q", word, r.status, r.out)
		}
	}
	mustLack(t, "help", help, "microvm", "kube")
}
