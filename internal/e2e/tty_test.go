package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A screen is a tmux session with a shell in the project.
type screen struct {
	t    *testing.T
	sock string
}

func newScreen(t *testing.T, w *world) *screen {
	t.Helper()
	testenv.Need(t, "tmux")
	s := &screen{t: t, sock: filepath.Join(shortTemp(t), "s")}
	env := append([]string{}, w.env...)
	c := exec.Command("tmux", "-S", s.sock, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "env", "PS1=HOST> ", "sh")
	c.Dir, c.Env = w.proj, env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", s.sock, "kill-server").Run() })
	s.want("HOST>")
	return s
}

func (s *screen) keys(keys ...string) {
	s.t.Helper()
	if out, err := exec.Command("tmux", append([]string{"-S", s.sock, "send-keys"}, keys...)...).CombinedOutput(); err != nil {
		s.t.Fatalf("send-keys: %v %s", err, out)
	}
}

func (s *screen) text() string {
	out, _ := exec.Command("tmux", "-S", s.sock, "capture-pane", "-p").Output()
	return string(out)
}

// want waits until the screen shows text.
func (s *screen) want(text string) {
	s.t.Helper()
	deadline := time.Now().Add(hangs)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(s.text(), text) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the screen never showed %q:\n%s", text, s.text())
		}
		<-tick.C
	}
}

func TestTerminal(t *testing.T) {
	w := newWorld(t)
	s := newScreen(t, w)
	s.keys(fmt.Sprintf("%s run -- env PS1='IN''> ' sh", binary), "Enter") // what is typed shows, too
	s.want("IN>")
	s.keys("tty; stty size; echo T$((1+1))", "Enter")
	s.want("/dev/pts/")
	s.want("30 100")
	s.want("T2")
	// The marker comes from a process of the job: the keys reach it, not the shell that has not started it yet.
	s.keys("sh -c 'echo first-$((20+2)); exec sleep 1000'", "Enter")
	s.want("first-22")
	s.keys("C-c")
	s.keys("echo after-$((40+2))", "Enter")
	s.want("after-42")
	s.keys("sh -c 'echo second-$((30+2)); exec sleep 1001'", "Enter")
	s.want("second-32")
	s.keys("C-z")
	s.want("topped")
	s.keys("jobs; kill -9 %1; wait; echo job-$((50+2))", "Enter")
	s.want("job-52")
	if out, err := exec.Command("tmux", "-S", s.sock, "resize-window", "-x", "120", "-y", "40").CombinedOutput(); err != nil {
		t.Fatalf("resize: %v %s", err, out)
	}
	s.keys("clear; while [ \"$(stty size)\" != '40 120' ]; do sleep 0.1; done; echo resized-$((60+2))", "Enter")
	s.want("resized-62")
	s.keys("exit 9", "Enter")
	s.want("HOST>")
	s.keys("echo status-$?", "Enter")
	s.want("status-9")
	s.keys("clear; stty -a | grep -q ' echo ' && echo back-$((70+2))", "Enter")
	s.want("back-72")
}

func TestEditorInTerminal(t *testing.T) {
	testenv.Need(t, "vi")
	w := newWorld(t)
	s := newScreen(t, w)
	s.keys(fmt.Sprintf("%s run -- vi typed.txt; echo over-$((3+4))", binary), "Enter")
	s.want("\n~") // lines behind the end: the editor has drawn
	s.keys("i", "hello from vi", "Escape", ":wq", "Enter")
	s.want("belljar:")
	s.want("\nover-7\n") // until then it writes into its state, which goes with the test
	if b, err := os.ReadFile(filepath.Join(w.proj, "typed.txt")); err != nil || string(b) != "hello from vi\n" {
		t.Errorf("%v %q\n%s", err, b, s.text())
	}
}
