package backendtest

import (
	"os"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

var terminalCases = []tcase{
	{name: "tty/is-one", why: "programs see a terminal", run: ttyIsOne},
	{name: "tty/size", why: "the window has the size that was asked for", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "stty size")
		x.expect("24 80")
		x.ends(0, 0)
	}},
	{name: "tty/resize", why: "a resize is seen and signalled", need: []string{"bash"}, run: ttyResize},
	{name: "tty/echo", why: "the line discipline is the sandbox's own", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "read a; echo got:$a")
		x.send("hello\n")
		x.expect("got:hello")
		x.ends(0, 0)
	}},
	{name: "tty/interrupt", why: "^C interrupts the foreground program", need: []string{"bash"}, run: ttyInterrupt},
	{name: "tty/suspend", why: "^Z stops the foreground program and the shell goes on", need: []string{"bash"}, run: ttySuspend},
	{name: "tty/eof", why: "^D ends the input", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "cat; echo end")
		x.send("a\n\x04")
		x.expect("end")
		x.ends(0, 0)
	}},
	{name: "tty/input-ends", why: "the end of the caller's input ends the input inside", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "cat; echo end")
		x.send("abc")
		x.in.Close()
		x.expect("end")
		x.ends(0, 0)
	}},
	{name: "tty/exit", why: "the exit status passes through the terminal's helper", run: func(t *testing.T, s *box) { s.terminal("sh", "-c", "exit 33").ends(33, 0) }},
	{name: "tty/killed", why: "death by signal too", run: func(t *testing.T, s *box) { s.terminal("sh", "-c", "kill -TERM $$").ends(0, 15) }},
	{name: "tty/signal", why: "Signal reaches the foreground group", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
		x.expect("ready")
		if err := x.p.Signal(15); err != nil {
			t.Fatal(err)
		}
		x.expect("caught")
		x.ends(4, 0)
	}},
	{name: "tty/controlling", why: "/dev/tty is the terminal", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "echo via > /dev/tty")
		x.expect("via")
		x.ends(0, 0)
	}},
	{name: "tty/output-complete", why: "nothing that was printed before the end is lost", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "seq 1 20000")
		x.ends(0, 0)
		if !strings.Contains(x.out.text(), "20000") {
			t.Errorf("the end is missing: %s", quote(x.out.text()[max(0, len(x.out.text())-100):]))
		}
	}},
	{name: "tty/missing-command", why: "a command that does not exist ends with 127", run: func(t *testing.T, s *box) {
		c := belljar.Command{Exec: belljar.Exec{Path: "/no/such", Argv: []string{"x"}, Dir: "/"}, TTY: true}
		ir, iw := s.pipe()
		defer iw.Close()
		or, ow := s.pipe()
		defer or.Close()
		c.Stdin, c.Stdout = ir, ow
		p, err := s.in.Start(t.Context(), &c)
		if err != nil {
			return // told at once: better still
		}
		if st := s.waitFor(p); st.Status() != 127 {
			t.Errorf("ended with %+v", st)
		}
	}},
	{name: "tty/first-command", why: "the first command may have a terminal, too", bare: true, run: ttyFirst},
	{name: "tty/descriptors", why: "a program on a terminal has nothing but it", run: func(t *testing.T, s *box) {
		x := s.terminal("sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/fd/0") // a pipe would show the shell's ends of it
		x.expect("/dev/pts/")
		x.ends(0, 0)
		if got := strings.Fields(x.out.text()); len(got) > 4 {
			t.Errorf("descriptors %q", got)
		}
	}},
}

// A term is a command on a terminal.
type term struct {
	s   *box
	p   belljar.Process
	in  *os.File
	out *reader
	at  int // what expect has passed
}

func (s *box) terminal(argv ...string) *term {
	s.t.Helper()
	ir, iw := s.pipe()
	or, ow := s.pipe()
	x := &term{s: s, in: iw, out: newReader(or)}
	s.t.Cleanup(func() {
		iw.Close()
		or.Close()
	})
	p, err := s.in.Start(s.t.Context(), &belljar.Command{
		Exec:  belljar.Exec{Path: "/usr/bin/" + argv[0], Argv: argv, Dir: "/"},
		TTY:   true,
		Size:  belljar.WindowSize{Rows: 24, Cols: 80},
		Stdin: ir, Stdout: ow,
	})
	if err != nil {
		s.t.Fatalf("start %q on a terminal: %v", argv, err)
	}
	x.p = p
	return x
}

func (x *term) send(s string) {
	x.s.t.Helper()
	if _, err := x.in.WriteString(s); err != nil {
		x.s.t.Fatal(err)
	}
}

// expect waits for a text behind what was expected before.
func (x *term) expect(text string) {
	x.s.t.Helper()
	if !x.out.untilAfter(x.at, text, patience) {
		_ = x.p.Signal(9)
		x.s.t.Fatalf("%q did not appear; the terminal shows %s", text, quote(x.out.text()))
	}
	x.at += strings.Index(x.out.text()[x.at:], text) + len(text)
}

func (x *term) ends(code int, sig belljar.Signal) {
	x.s.t.Helper()
	if st := x.s.waitFor(x.p); st.Code != code || st.Signal != sig {
		x.s.t.Errorf("ended with %+v, want code %d signal %d; the terminal shows %s", st, code, sig, quote(x.out.text()))
	}
	x.out.until("\x00never", patience) // until its end
}

func ttyIsOne(t *testing.T, s *box) {
	x := s.terminal("sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && echo yes")
	x.expect("/dev/pts/")
	x.expect("yes")
	x.ends(0, 0)
}

func (s *box) bash() *term {
	x := s.terminal("bash", "--norc", "--noprofile", "-i")
	x.send("PS1='$ '\n")
	x.send("echo mark$((1+1))\n")
	x.expect("mark2")
	return x
}

// tail has the shell run one process that prints run7 and then neither starts nor becomes another. A shell's loop would not do: its children are made by
// vfork, and one that is stopped between its vfork and its exec holds its parent for good, on any kernel.
func (x *term) tail() {
	x.s.t.Helper()
	x.send("echo run$((3+4)) > /tmp/tail; tail -f /tmp/tail; echo st=$?\n")
	x.expect("run7")
}

func ttyResize(t *testing.T, s *box) {
	x := s.terminal("bash", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done")
	x.expect("ready")
	if err := x.p.Resize(belljar.WindowSize{Rows: 50, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	x.expect("50 132")
	x.ends(0, 0)
}

func ttyInterrupt(t *testing.T, s *box) {
	x := s.bash()
	x.tail()
	x.send("\x03")
	x.send("echo after$((2+3))\n")
	x.expect("after5")
	x.send("exit 6\n")
	x.ends(6, 0)
}

func ttySuspend(t *testing.T, s *box) {
	x := s.bash()
	x.tail()
	x.send("\x1a")
	x.expect("Stopped")
	x.send("bg; jobs; kill %1; wait; echo gone$((3+4))\n")
	x.expect("gone7")
	x.send("exit 0\n")
	x.ends(0, 0)
}

func ttyFirst(t *testing.T, s *box) {
	s.plan.Command = belljar.Exec{Path: "/bin/sh", Argv: []string{"sh", "-c", "tty; read a; echo got:$a; exit 8"}, Dir: "/"}
	s.start()
	ir, iw := s.pipe()
	or, ow := s.pipe()
	defer or.Close()
	p, err := s.in.Start(t.Context(), &belljar.Command{
		Exec: s.plan.Command, TTY: true, Size: belljar.WindowSize{Rows: 10, Cols: 40}, Stdin: ir, Stdout: ow,
	})
	if err != nil {
		t.Fatal(err)
	}
	x := &term{s: s, p: p, in: iw, out: newReader(or)}
	defer iw.Close()
	x.expect("/dev/pts/")
	x.send("word\n")
	x.expect("got:word")
	x.ends(8, 0)
}
