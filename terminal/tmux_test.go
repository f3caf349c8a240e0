package terminal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
)

// A tmux is a real terminal emulator with a shell in it.
type tmux struct {
	t      *testing.T
	socket string
	before string // what the screen showed before the last keys
}

func newTmux(t *testing.T) *tmux {
	testenv.Need(t, "tmux")
	m := &tmux{t: t, socket: filepath.Join(t.TempDir(), "s")}
	m.do("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "PS1=shell> ", "ENV=", "sh")
	t.Cleanup(func() { m.do("kill-server") })
	m.await("shell>")
	return m
}

func (m *tmux) do(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

func (m *tmux) screen() string { return m.do("capture-pane", "-p") }

// keys types text and Enter. It must change what the screen shows.
func (m *tmux) keys(text string) {
	m.t.Helper()
	m.before = m.screen()
	m.do("send-keys", "-l", text)
	m.do("send-keys", "Enter")
}

// await waits until the screen ends with text and is not as it was before the last
// keys: these take a while to arrive.
func (m *tmux) await(text string) string {
	m.t.Helper()
	end := time.Now().Add(hangs)
	for time.Now().Before(end) {
		if s := m.screen(); s != m.before && strings.HasSuffix(strings.TrimSpace(s), text) {
			return strings.TrimSpace(s)
		}
		m.do("wait-for", "-L", "x") // a round trip
		m.do("wait-for", "-U", "x")
	}
	m.t.Fatalf("no %q on the screen:\n%s", text, m.screen())
	return ""
}

// An interactive command in a real terminal: line editing, window size, hostile
// output, questions right before the end, and a shell that works afterwards.
func TestInTmux(t *testing.T) {
	m := newTmux(t)
	self := os.Args[0] + " " + relayArg + " "
	m.keys(self + "sh -c 'tty; stty size; read x; echo got $x'")
	m.await("24 80")
	m.keys("hello")
	if s := m.await("shell>"); !strings.Contains(s, "got hello") || !strings.Contains(s, "status 0") {
		t.Errorf("screen:\n%s", s)
	}
	m.keys("clear")
	m.await("shell>")

	evil := `'\033[?1049h\033[?1003h\033[?25l\033[31mhidden\033]52;c;ZXZpbA==\a\033[6n\033[c\033]11;?\a\033[>c'`
	m.keys(self + "printf " + evil)
	s := m.await("shell>")
	if !strings.Contains(s, "clipboard (OSC 52):1") {
		t.Errorf("screen:\n%s", s)
	}
	m.keys("echo $((6*7))")
	if s := m.await("shell>"); !strings.Contains(s, "\n42\n") || strings.Contains(s, ";1R") || strings.Contains(s, "rgb:") {
		t.Errorf("the shell is disturbed:\n%s", s)
	}
	flags := m.do("display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}")
	if strings.TrimSpace(flags) != "0 0 1" {
		t.Errorf("alternate screen, mouse and cursor: %s", flags)
	}
}

// ^C goes inside; ^Z too, so that the job control inside is used.
func TestKeysInTmux(t *testing.T) {
	m := newTmux(t)
	m.keys(os.Args[0] + " " + relayArg + ` sh -c 'trap "echo caught; exit 3" INT; echo waiting; while :; do read x; done'`)
	m.await("waiting")
	m.do("send-keys", "C-c")
	if s := m.await("shell>"); !strings.Contains(s, "caught") || !strings.Contains(s, "status 3") {
		t.Errorf("screen:\n%s", s)
	}
}
