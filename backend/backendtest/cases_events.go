package backendtest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
)

var eventCases = []tcase{
	{name: "events/exec", why: "every program that is executed is on record, with its arguments", holds: belljar.ReqExec, run: eventExec},
	{name: "events/first", why: "the first command is on record, once", own: true, run: func(t *testing.T, s *box) {
		if e := s.settled().execs("read x; exit 0"); len(e) != 1 || e[0].PID != s.pidOf("read x; exit 0") {
			t.Errorf("recorded %+v", e)
		}
	}},
	{name: "events/terminal", why: "a program on a terminal is on record under its own name", run: func(t *testing.T, s *box) {
		s.terminal("sh", "-c", "exit 0; marker-terminal").ends(0, 0)
		if e := s.settled().execs("exit 0; marker-terminal"); len(e) != 1 || !strings.HasSuffix(e[0].Path, "sh") && !strings.HasSuffix(e[0].Path, "dash") {
			t.Errorf("recorded %+v", e)
		}
	}},
	{name: "events/exit", why: "every end is on record", holds: belljar.ReqExec, run: eventExit},
	{name: "events/parent", why: "the record tells who started what", holds: belljar.ReqExec, run: eventParent},
	{name: "events/dir", why: "the record tells where", holds: belljar.ReqExec, run: func(t *testing.T, s *box) {
		s.sh("cd /usr/lib && /bin/echo marker-dir")
		if e := s.settled().execs("marker-dir"); len(e) != 1 || e[0].Dir != "/usr/lib" {
			t.Errorf("recorded %+v", e)
		}
	}},
	{name: "events/long", why: "very long arguments are cut, with a count", holds: belljar.ReqExec, run: eventLong},
	{name: "events/many", why: "none is lost, however many", holds: belljar.ReqExec, run: eventMany},
	{name: "events/before-wait", why: "when Wait returns everything is on record", holds: belljar.ReqExec, bare: true, run: func(t *testing.T, s *box) {
		first(t, s, "/bin/echo marker-last; exit 0")
		if e := s.events.execs("marker-last"); len(e) != 1 {
			t.Errorf("recorded %+v", e)
		}
	}},
	{name: "events/refused", why: "when the record cannot be written nothing goes on", own: true, run: eventRefused},
	{name: "events/blocked", why: "while the record blocks no program starts", holds: belljar.ReqExec, own: true, run: eventBlocked},
}

// pidOf is the number inside of the process whose last argument is arg.
func (s *box) pidOf(arg string) int {
	s.t.Helper()
	r := s.sh("grep -lz '^" + arg + "$' /proc/[0-9]*/cmdline | head -n 1 | cut -d/ -f3")
	n, err := strconv.Atoi(strings.TrimSpace(r.out))
	if err != nil {
		s.t.Errorf("no process has the argument %q: %s", arg, r)
	}
	return n
}

func eventExec(t *testing.T, s *box) {
	s.sh("/bin/echo marker-exec 'two words' \"new\nline\"")
	e := s.settled().execs("marker-exec")
	if len(e) != 1 {
		t.Fatalf("recorded %d times", len(e))
	}
	if got := strings.Join(e[0].Argv, "|"); got != "/bin/echo|marker-exec|two words|new\nline" || !strings.HasSuffix(e[0].Path, "/echo") {
		t.Errorf("recorded %q at %q", got, e[0].Path)
	}
}

func eventExit(t *testing.T, s *box) {
	s.sh("sh -c 'exit 3; marker-exit'; true")
	e := s.settled().execs("exit 3; marker-exit")
	if len(e) != 1 {
		t.Fatalf("recorded %d times", len(e))
	}
	if x := s.events.exits(e[0].PID); len(x) == 0 || x[len(x)-1].Status.Code != 3 {
		t.Errorf("exits %+v", x)
	}
}

func eventParent(t *testing.T, s *box) {
	s.sh("sh -c '/bin/echo marker-child; true; marker-parent'")
	p, c := s.settled().execs("/bin/echo marker-child; true; marker-parent"), s.events.execs("marker-child")
	if len(p) != 1 || len(c) != 1 || c[0].Parent != p[0].PID {
		t.Errorf("parent %+v, child %+v", p, c)
	}
}

func eventLong(t *testing.T, s *box) {
	s.sh("x=$(head -c 100000 /dev/zero | tr '\\0' a); /bin/echo marker-long $x > /dev/null")
	e := s.settled().execs("marker-long")
	if len(e) != 1 {
		t.Fatalf("recorded %d times", len(e))
	}
	total := 0
	for _, a := range e[0].Argv {
		total += len(a)
	}
	if total > 64<<10 || e[0].Truncated < 100000-64<<10 || total+e[0].Truncated < 100000 {
		t.Errorf("kept %d bytes, %d cut", total, e[0].Truncated)
	}
}

func eventMany(t *testing.T, s *box) {
	const n = 100
	out := s.sh("i=0; while [ $i -lt " + itoa(n) + " ]; do /bin/true marker-many || echo failed $?; i=$((i+1)); done").out
	if out != "" {
		t.Errorf("a program did not run: %q", out)
	}
	if e := s.settled().execs("marker-many"); len(e) != n {
		t.Errorf("%d of %d are on record", len(e), n)
	}
}

func eventRefused(t *testing.T, s *box) {
	s.events.set(errors.New("disk full"), nil)
	ir, iw := s.pipe()
	iw.Close()
	c := shell("/bin/echo x; sleep 1000")
	c.Stdin = ir
	_, _ = s.in.Start(t.Context(), &c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if end, err := s.in.Wait(ctx); err != nil || end.Reason == belljar.EndExited {
		t.Errorf("the sandbox went on: %+v, %v", end, err)
	}
	s.events.set(nil, nil)
}

func eventBlocked(t *testing.T, s *box) {
	// Long arguments fill every buffer on the way with few programs.
	p, out := s.background("x=$(head -c 30000 /dev/zero | tr '\\0' a); echo ready; while [ ! -e /tmp/go ]; do sleep 0.02; done; " +
		"i=0; while [ $i -lt 40 ]; do /bin/true $x; i=$((i+1)); done; echo through")
	hold := make(chan struct{})
	s.events.set(nil, hold)
	// Beyond what the socket's buffer takes, the sandbox must wait for us.
	if r, err := s.tryShell("touch /tmp/go"); err == nil {
		defer func() { s.waitFor(r) }()
	}
	time.AfterFunc(1500*time.Millisecond, func() {
		if strings.Contains(out.text(), "through") {
			t.Error("40 programs ran while the record was blocked")
		}
		s.events.set(nil, nil)
		close(hold)
	})
	if st := s.waitFor(p); st.Status() != 0 {
		t.Errorf("ended with %+v", st)
	}
	if !out.until("through", patience) {
		t.Errorf("it did not go on: %q", out.text())
	}
}

// tryShell starts a script; recording its start may block, so it does not wait.
func (s *box) tryShell(script string) (belljar.Process, error) {
	type answer struct {
		p   belljar.Process
		err error
	}
	got := make(chan answer, 1)
	go func() {
		c := shell(script)
		p, err := s.in.Start(s.t.Context(), &c)
		got <- answer{p, err}
	}()
	select {
	case a := <-got:
		return a.p, a.err
	case <-time.After(500 * time.Millisecond):
		return nil, errors.New("blocked")
	}
}
