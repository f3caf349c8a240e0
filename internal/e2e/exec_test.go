package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// box starts a sandbox called box whose command waits for the end of its input; it returns
// once that runs. The function that it returns ends it and returns its status.
func (w *world) box(flags ...string) (end func() int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	c := w.cmd(ctx, append(append([]string{"run"}, flags...), "--name", "box", "--", "sh", "-c", "echo ready; exec cat > /dev/null")...)
	in, out := startReady(w.t, c)
	over := false
	end = func() int {
		if !over {
			over = true
			_ = in.Close()
			_, _ = io.Copy(io.Discard, out)
			_ = c.Wait()
			cancel()
		}
		return c.ProcessState.ExitCode()
	}
	w.t.Cleanup(func() { end() })
	return end
}

// TestExec: a further command has the sandbox's files and record, its own streams, and its
// status is exec's.
func TestExec(t *testing.T) {
	w := newWorld(t)
	end := w.box()
	r := w.belljarIn("given\n", "exec", "box", "--", "sh", "-c", "cat; echo to-err >&2; pwd; ls -a; cat .env; exit 7")
	if r.status != 7 || !strings.HasPrefix(r.out, "given\n"+w.proj+"\n") || !strings.HasPrefix(r.errout, "to-err\n") || strings.Contains(r.out, projectSecret) {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"true"}, 0},
		{[]string{"--", "sh", "-c", "kill -TERM $$"}, 143},
		{[]string{"no-such-program"}, 127},
		{[]string{"/etc/passwd"}, 126},
		{[]string{"./README"}, 126},
		{[]string{}, 2},
	} {
		if r := w.belljar(append([]string{"exec", "box"}, c.args...)...); r.status != c.want {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
	if r := w.belljar("exec", "--env", "A=b c", "--dir", "/tmp", "box", "sh", "-c", `echo "$A $PWD"`); r.out != "b c /tmp\n" {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("exec", "--env", "AWS_SECRET_ACCESS_KEY", "box", "env"); r.status != 2 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("exec", "nobody", "true"); r.status != 2 {
		t.Errorf("%+v", r)
	}
	large := strings.Repeat("0123456789abcde\n", 1<<16)
	if r := w.belljarIn(large, "exec", "box", "cat"); r.out != large {
		t.Errorf("%d of %d bytes: %d %s", len(r.out), len(large), r.status, r.errout)
	}
	if log := w.belljar("log", "box", "--kind", "exec").out; !strings.Contains(log, "to-err") || !strings.Contains(log, "kill -TERM") {
		t.Errorf("not on record:\n%s", log)
	}
	if st := end(); st != 0 {
		t.Errorf("the sandbox ended with %d", st)
	}
	if r := w.belljar("exec", "box", "true"); r.status != 2 || !strings.Contains(r.errout, "no sandbox of that name runs") {
		t.Errorf("%+v", r)
	}
}

// sleepers counts the processes inside with the marker in their command line.
func (w *world) sleepers(marker string) int {
	w.t.Helper()
	r := w.belljar("exec", "box", "--", "sh", "-c", `n=0; for f in /proc/[0-9]*/cmdline; do case "$(tr '\0' ' ' < $f 2>/dev/null)" in "sleep `+marker+` ") n=$((n+1));; esac; done; echo $n`)
	n, err := strconv.Atoi(strings.TrimSpace(r.out))
	if err != nil {
		w.t.Fatalf("%v: %+v", err, r)
	}
	return n
}

// TestExecSignals: signals are passed on; the command of a client that was killed ends; one
// that runs when the sandbox ends does so with it.
func TestExecSignals(t *testing.T) {
	w := newWorld(t)
	end := w.box()
	start := func(line string) (*exec.Cmd, *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(context.Background(), hangs)
		t.Cleanup(cancel)
		c := w.cmd(ctx, "exec", "box", "--", "sh", "-c", line)
		var errs bytes.Buffer
		c.Stderr = &errs
		startReady(t, c)
		return c, &errs
	}
	c, errs := start("trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done")
	_ = c.Process.Signal(syscall.SIGUSR1)
	if _ = c.Wait(); c.ProcessState.ExitCode() != 9 {
		t.Errorf("%v %s", c.ProcessState, errs)
	}
	c, _ = start("echo ready; exec sleep 4711")
	if n := w.sleepers("4711"); n != 1 {
		t.Fatalf("%d run", n)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	eventually(t, "the end of the command of a killed client", func() bool { return w.sleepers("4711") == 0 })
	c, _ = start("trap '' TERM HUP; echo ready; while :; do sleep 0.05; done")
	_ = c.Process.Signal(syscall.SIGTERM)
	var ws syscall.WaitStatus
	eventually(t, "the end of a client that is asked again", func() bool {
		_ = c.Process.Signal(syscall.SIGHUP)
		pid, _ := syscall.Wait4(c.Process.Pid, &ws, syscall.WNOHANG, nil)
		return pid == c.Process.Pid
	})
	// Which of two signals that wait at once comes first is not said, and what comes when it
	// is on its way out ends it as it ends every program.
	if st := ws.ExitStatus(); st != 128+int(syscall.SIGHUP) && st != 128+int(syscall.SIGTERM) && ws.Signal() != syscall.SIGHUP {
		t.Errorf("a client that was asked again ended with %#x", ws)
	}
	c, errs = start("echo ready; exec sleep 4712")
	if st := end(); st != 0 {
		t.Errorf("the sandbox ended with %d", st)
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != 137 {
		t.Errorf("%v %s", c.ProcessState, errs)
	}
}

// TestExecHalted: what serves a command's terminal inside may be halted by the command; it
// ends all the same when the client is killed.
func TestExecHalted(t *testing.T) {
	w := newWorld(t)
	w.box()
	s := newScreen(t, w)
	s.keys(fmt.Sprintf("sh -c 'echo $$ > client; exec %s exec box -- sh -c \"echo \\$PPID > /tmp/helper; kill -STOP \\$PPID; echo > /tmp/halted; exec sleep 1000\"'", binary), "Enter")
	eventually(t, "halted", func() bool { return w.belljar("exec", "box", "test", "-e", "/tmp/halted").status == 0 })
	pid, err := strconv.Atoi(strings.TrimSpace(w.read("client")))
	if err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		return w.belljar("exec", "box", "--", "sh", "-c", "kill -0 $(cat /tmp/helper)").status == 0
	}
	if !there() {
		t.Fatal("nothing serves the terminal")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of what serves the terminal", func() bool { return !there() })
}

// TestExecTerminal: an editor in a second terminal of a sandbox.
func TestExecTerminal(t *testing.T) {
	testenv.Need(t, "vi")
	w := newWorld(t)
	w.box()
	s := newScreen(t, w)
	s.keys(fmt.Sprintf("%s exec box -- sh -c 'stty size; tty; echo $TERM'; echo over-$((1+1))", binary), "Enter")
	s.want("30 100")
	s.want("/dev/pts/")
	s.want("over-2")
	s.keys(fmt.Sprintf("%s exec box vi typed.txt; echo status-$?-$((3+4))", binary), "Enter")
	s.want("\n~")
	s.keys("i", "hello from exec", "Escape", ":wq", "Enter")
	s.want("status-0-7")
	if got := w.read("typed.txt"); got != "hello from exec\n" {
		t.Errorf("%q\n%s", got, s.text())
	}
	s.keys(fmt.Sprintf("clear; %s exec box sh -c 'echo on-$((40+1)); exec sleep 1000'; echo status-$?-$((30+4))", binary), "Enter")
	s.want("on-41")
	s.keys("C-c")
	s.want("status-130-34")
	s.keys("clear; stty -a | grep -q ' echo ' && echo back-$((70+2))", "Enter")
	s.want("back-72")
}

// A command that comes while the sandbox ends is told so, not what that looks like to the tier.
func TestExecBesideTheEnd(t *testing.T) {
	w := newWorld(t)
	for n := range 4 {
		name := fmt.Sprint("ends-", n)
		if r := w.belljar("run", "--detach", "--name", name, "--", "sh", "-c", "sleep 0.5"); r.status != 0 {
			t.Fatalf("run: %d %s", r.status, r.errout)
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				r := result{}
				for r.status == 0 {
					r = w.belljar("exec", name, "--", "true")
				}
				killed := r.status == 128+int(syscall.SIGKILL) && r.errout == "" // it ran
				if !killed && !strings.Contains(r.errout, "it has ended") && !strings.Contains(r.errout, "the connection to it ended") && !strings.Contains(r.errout, "no sandbox of that name runs") {
					t.Errorf("%s: status %d, %s", name, r.status, r.errout)
				}
			})
		}
		wg.Wait()
	}
}

// Of several who stop a sandbox at once all are told that it has ended, or that it is not there.
func TestStopAtOnce(t *testing.T) {
	w := newWorld(t)
	for n := range 4 {
		name := fmt.Sprint("stopped-", n)
		if r := w.belljar("run", "--detach", "--name", name, "--", "sleep", "60"); r.status != 0 {
			t.Fatalf("run: %d %s", r.status, r.errout)
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if r := w.belljar("stop", name); r.status != 0 && !strings.Contains(r.errout, "no sandbox of that name runs") {
					t.Errorf("%s: status %d, %s", name, r.status, r.errout)
				}
			})
		}
		wg.Wait()
	}
}
