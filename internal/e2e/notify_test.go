package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/belljar-dev/belljar/internal/testenv"
	"github.com/belljar-dev/belljar/notify"
	"github.com/creack/pty"
	"github.com/godbus/dbus/v5"
)

// notifyWorld is a world in which something asks, and whose user is told by the policy.
func notifyWorld(t *testing.T, policy string) *world {
	w, _ := deskWorld(t)
	w.write(filepath.Join(w.home, ".config/belljar/policy.yaml"), "version: 1\nnotify: "+policy+"\n")
	return w
}

const asksForever = `echo ready; curl -sS -X POST -d x https://api.example.com/asked/SECRET-OF-PATH?SECRET-OF-QUERY > /dev/null; exec sleep 1000`

// TestNotifyDetached: a question of a detached run, and its end, reach the webhook and the
// desktop, without what may be a secret; so does that its supervisor was killed.
func TestNotifyDetached(t *testing.T) {
	testenv.Need(t, "curl", "user", "dbus-daemon")
	got := make(chan notify.Note, 99)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		var n notify.Note
		if err := json.Unmarshal(b, &n); err != nil || q.Header.Get("Authorization") != "key" || bytes.Contains(b, []byte("SECRET")) {
			t.Errorf("%v %v %s", err, q.Header, b)
		}
		got <- n
	}))
	t.Cleanup(hook.Close)
	w := notifyWorld(t, `{desktop: true, webhook: {url: "`+hook.URL+`", headers: ~/.config/hook-headers}}`)
	w.write(filepath.Join(w.home, ".config/hook-headers"), "Authorization: key\n")
	address, shown := newDesktop(t)
	w.env = append(w.env, "DBUS_SESSION_BUS_ADDRESS="+address)
	next := func(event string) notify.Note {
		t.Helper()
		select {
		case n := <-got:
			if n.Event != event || n.Sandbox != "box" {
				t.Errorf("%+v", n)
			}
			return n
		case <-time.After(hangs):
			t.Fatalf("nobody was told of %s\n%s", event, w.belljar("logs", "box").out)
			panic("")
		}
	}
	w.detach("box", "--policy", "desk.yaml", "--upstream-by-name", "--", "sh", "-c", asksForever)
	n := next(notify.Waits)
	if q := n.Question; q == nil || q.Host != "api.example.com" || q.Method != "POST" || q.Port != 443 || q.ID == "" || n.ID != w.ps()["box"].ID {
		t.Errorf("%+v", n)
	}
	if s := <-shown; s != "belljar: box waits for you|POST api.example.com (belljar approve box "+n.Question.ID+")" {
		t.Errorf("%q", s)
	}
	if r := w.belljar("stop", "--grace", "0s", "box"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if n = next(notify.Ends); n.End == nil || n.End.Status == nil || *n.End.Status != 137 || n.End.Reason != "killed" {
		t.Errorf("%+v", n)
	}
	if s := <-shown; s != "belljar: box ended with status 137|" {
		t.Errorf("%q", s)
	}
	w.detach("box", "--", "sh", "-c", "echo ready; exec sleep 1000")
	if err := syscall.Kill(w.supervisor("box"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if n = next(notify.Ends); n.End == nil || n.End.Status != nil || n.Text != "belljar: box was killed" {
		t.Errorf("%+v", n)
	}
	// Whoever starts a run that does not start is told by the run.
	if r := w.belljar("run", "--name", "box", "--policy", "setup.yaml", "--", "true"); r.status == 0 {
		t.Errorf("%+v", r)
	}
	w.write("setup.yaml", "version: 1\nsetup: {run: [exit 3]}\n")
	if r := w.belljar("run", "--name", "box", "--policy", "setup.yaml", "--", "true"); r.status != 125 {
		t.Errorf("%+v", r)
	}
	if r := w.belljar("run", "--name", "box", "--", "true"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if n = next(notify.Ends); n.End == nil || n.End.Status == nil || *n.End.Status != 0 {
		t.Errorf("%+v", n)
	}
}

// A desk shows notifications.
type desk chan string

func (d desk) GetCapabilities() ([]string, *dbus.Error) { return []string{"body"}, nil }

func (d desk) Notify(_ string, _ uint32, _, summary, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	d <- summary + "|" + body
	return 1, nil
}

// newDesktop is a session with who shows notifications.
func newDesktop(t *testing.T) (address string, shown chan string) {
	t.Helper()
	dir := shortTemp(t)
	conf := filepath.Join(dir, "c")
	if err := os.WriteFile(conf, []byte(`<busconfig><type>session</type><listen>unix:path=`+dir+`/s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("dbus-daemon", "--config-file="+conf, "--nofork", "--print-address=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	address = strings.TrimSpace(readUntil(t, out, "\n"))
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	d := make(desk, 99)
	if err := conn.Export(d, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.freedesktop.Notifications", 0); err != nil {
		t.Fatal(err)
	}
	return address, d
}

// TestNotifyBell: the bell of the terminal in which a run is, for a question and the end, and
// of one that is attached; without the policy there is none, and in a pipe neither.
func TestNotifyBell(t *testing.T) {
	testenv.Need(t, "curl")
	w := notifyWorld(t, `{bell: true}`)
	on := func(args ...string) *terminalOf {
		return newTerminal(t, w, args...)
	}
	run := []string{"run", "--policy", "desk.yaml", "--upstream-by-name", "--name", "box", "--"}
	s := on(append(run, "sh", "-c", "echo go; curl -sS -X POST -d x https://api.example.com/asked/1; echo; echo over; read x")...)
	s.want("waits for you")
	s.want("\a")
	before := s.bells()
	if r := w.belljar("deny", "box", "1"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	s.want("over")
	s.keys("\n")
	s.end()
	if s.bells() != before+1 {
		t.Errorf("%d bells for a question, %d in all: %q", before, s.bells(), s.text())
	}
	if r := w.belljar("run", "--", "true"); strings.Contains(r.out+r.errout, "\a") {
		t.Errorf("%+v", r)
	}
	w.detach("bg", "--policy", "desk.yaml", "--upstream-by-name", "--", "sh", "-c", "read x; "+asksForever)
	s = on("attach", "bg")
	s.keys("x\n")
	s.want("ready")
	s.want("\a")
	if r := w.belljar("stop", "--grace", "0s", "bg"); r.status != 0 {
		t.Errorf("%+v", r)
	}
	s.end()
	if err := os.Remove(filepath.Join(w.home, ".config/belljar/policy.yaml")); err != nil {
		t.Fatal(err)
	}
	s = on("run", "--", "true")
	s.end()
	if s.bells() > 0 {
		t.Errorf("%q", s.text())
	}
}

// A terminalOf is a terminal in which one belljar runs.
type terminalOf struct {
	t    *testing.T
	pty  *os.File
	text func() string
	done chan struct{}
}

// A lockedBuffer is written and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newTerminal(t *testing.T, w *world, args ...string) *terminalOf {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	t.Cleanup(cancel)
	c := w.cmd(ctx, args...)
	f, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	var all lockedBuffer
	s := &terminalOf{t: t, pty: f, text: all.String, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_, _ = io.Copy(&all, f) // EIO at its end
		_ = c.Wait()
	}()
	t.Cleanup(func() { _ = f.Close() })
	return s
}

func (s *terminalOf) keys(k string) {
	if _, err := s.pty.WriteString(k); err != nil {
		s.t.Error(err)
	}
}

func (s *terminalOf) bells() int { return strings.Count(s.text(), "\a") }

func (s *terminalOf) want(text string) {
	s.t.Helper()
	eventually(s.t, text+" in "+s.text(), func() bool { return strings.Contains(s.text(), text) })
}

func (s *terminalOf) end() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(hangs):
		s.t.Fatalf("it did not end: %q", s.text())
	}
}
