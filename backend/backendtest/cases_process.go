package backendtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

var processCases = []tcase{
	{name: "exit/zero", why: "success is reported as such", run: func(t *testing.T, s *box) { wantStatus(s, "exit 0", 0, 0) }},
	{name: "exit/code", why: "the exit status of run is the command's own", run: func(t *testing.T, s *box) { wantStatus(s, "exit 42", 42, 0) }},
	{name: "exit/highest-code", why: "255 is a code, not an error of ours", run: func(t *testing.T, s *box) { wantStatus(s, "exit 255", 255, 0) }},
	{name: "exit/signal", why: "death by signal is not an exit code", run: func(t *testing.T, s *box) { wantStatus(s, "kill -TERM $$", 0, 15) }},
	{name: "exit/kill", why: "SIGKILL is reported like every other", run: func(t *testing.T, s *box) { wantStatus(s, "kill -KILL $$", 0, 9) }},
	{name: "exit/first-command", why: "the first command's status is the sandbox's", bare: true, run: firstExit},
	{name: "exit/first-signal", why: "a first command killed by a signal is seen as such", bare: true, run: firstSignal},
	{name: "streams/stdout", why: "output arrives unchanged", run: func(t *testing.T, s *box) { s.want("printf 'a b\\n'", "a b") }},
	{name: "streams/separate", why: "standard output carries only what the command prints there", run: separateStreams},
	{name: "streams/stdin", why: "input arrives unchanged", run: stdinArrives},
	{name: "streams/eof", why: "the end of the input reaches the command", run: stdinEOF},
	{name: "streams/no-stdin", why: "a command without input sees its end at once", run: noStdin},
	{name: "streams/large", why: "a megabyte passes whole, both ways", run: largeStream},
	{name: "streams/epipe", why: "a reader that goes away ends the writer, as in a shell", run: brokenPipe},
	{name: "streams/binary", why: "no byte is special", run: binaryStream},
	{name: "argv/kept", why: "argv arrives as it was given, argv[0] too", run: argvKept},
	{name: "argv/empty-argument", why: "an empty argument is an argument", run: emptyArgument},
	{name: "argv/newlines", why: "arguments are never parsed again", run: func(t *testing.T, s *box) {
		r := s.run("", belljar.Command{Exec: belljar.Exec{Path: "/usr/bin/printf", Argv: []string{"printf", "%s", "a\nb $x `y`"}}})
		if r.out != "a\nb $x `y`" {
			t.Errorf("%s", r)
		}
	}},
	{name: "env/plan", why: "the plan's environment is the environment", run: func(t *testing.T, s *box) { s.want("echo $HOME", insideHome) }},
	{name: "env/nothing-else", why: "nothing of the supervisor's environment enters", run: envExact},
	{name: "env/own", why: "a command may have an environment of its own", run: envOwn},
	{name: "cwd", why: "a command starts where it was told to", run: cwd},
	{name: "cwd/missing", why: "a working directory that does not exist is an error", run: cwdMissing},
	{name: "start/missing", why: "a command that does not exist is told from others", run: startMissing},
	{name: "start/not-executable", why: "a file that cannot be executed is told from others", run: startRefused},
	{name: "start/by-name", why: "a further command is found inside, along its PATH", run: startByName},
	{name: "start/script", why: "scripts with an interpreter line run", run: script},
	{name: "signal/term", why: "Signal reaches the process", run: signalTerm},
	{name: "signal/handled", why: "the process may handle the signal", run: signalHandled},
	{name: "wait/twice", why: "Wait may be called more than once", run: waitTwice},
	{name: "wait/context", why: "Wait gives up when its context ends", run: waitContext},
	{name: "concurrent", why: "commands run beside each other", run: concurrent},
	{name: "init/ends-everything", why: "when the first command ends nothing stays behind", own: true, run: initEnds},
	{name: "init/warm", why: "what is got ready before there is a command runs it as another does", bare: true, run: initWarm},
	{name: "init/stays", why: "a sandbox that stays outlives its first command, until it is closed", bare: true, run: initStays},
	{name: "init/is-first", why: "process 1 inside is the first command, or a process of the tier that shows nothing", own: true, run: initFirst},
}

func wantStatus(s *box, script string, code int, sig belljar.Signal) {
	s.t.Helper()
	if r := s.sh(script); r.status.Code != code || r.status.Signal != sig {
		s.t.Errorf("%q ended with %+v, want code %d signal %d", script, r.status, code, sig)
	}
}

func first(t *testing.T, s *box, script string) (belljar.ExitStatus, belljar.End) {
	t.Helper()
	s.plan.Command = shell(script).Exec
	s.boot()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := s.init.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	end, err := s.in.Wait(ctx)
	if err != nil {
		t.Fatalf("wait for the sandbox: %v", err)
	}
	return st, end
}

func firstExit(t *testing.T, s *box) {
	st, end := first(t, s, "exit 7")
	if st.Code != 7 || st.Signal != 0 || end.Reason != belljar.EndExited {
		t.Errorf("got %+v and %+v, want code 7 and %s", st, end, belljar.EndExited)
	}
}

func firstSignal(t *testing.T, s *box) {
	st, end := first(t, s, "kill -KILL $$")
	if st.Signal != 9 || end.Reason != belljar.EndExited {
		t.Errorf("got %+v and %+v, want signal 9 and %s", st, end, belljar.EndExited)
	}
}

func separateStreams(t *testing.T, s *box) {
	if r := s.sh("echo out; echo err >&2"); r.out != "out\n" || r.err != "err\n" {
		t.Errorf("%s", r)
	}
}

func stdinArrives(t *testing.T, s *box) {
	if r := s.run("one\ntwo\n", shell("cat")); r.out != "one\ntwo\n" {
		t.Errorf("%s", r)
	}
}

func stdinEOF(t *testing.T, s *box) {
	if r := s.run("a\nb\nc\n", shell("wc -l; echo done")); strings.Fields(r.out)[0] != "3" || !strings.HasSuffix(r.out, "done\n") {
		t.Errorf("%s", r)
	}
}

func noStdin(t *testing.T, s *box) {
	or, ow := s.pipe()
	defer or.Close()
	c := shell("cat; echo end")
	c.Stdout = ow
	p, err := s.in.Start(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if st, err := p.Wait(ctx); err != nil || st.Status() != 0 {
		t.Errorf("ended with %+v, %v", st, err)
	}
}

func largeStream(t *testing.T, s *box) {
	in := strings.Repeat("0123456789abcde\n", 1<<16)
	if r := s.run(in, shell("cat")); r.out != in {
		t.Errorf("%d of %d bytes came back", len(r.out), len(in))
	}
}

func brokenPipe(t *testing.T, s *box) {
	ir, iw := s.pipe()
	iw.Close()
	or, ow := s.pipe()
	or.Close()
	c := shell("while :; do echo x || exit 3; done")
	c.Stdin, c.Stdout = ir, ow
	p, err := s.in.Start(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if st, err := p.Wait(ctx); err != nil || st.Status() == 0 {
		t.Errorf("a writer without a reader ended with %+v, %v", st, err)
	}
}

func binaryStream(t *testing.T, s *box) {
	var b strings.Builder
	for i := range 256 {
		b.WriteByte(byte(i))
	}
	if r := s.run(b.String(), shell("cat")); r.out != b.String() {
		t.Errorf("%s", r)
	}
}

func argvKept(t *testing.T, s *box) {
	r := s.run("", belljar.Command{Exec: belljar.Exec{Path: "/bin/sh", Argv: []string{"my-name", "-c", "echo $0 $1", "zero", "one"}}})
	if r.out != "zero one\n" {
		t.Errorf("%s", r)
	}
	r = s.run("", belljar.Command{Exec: belljar.Exec{Path: "/bin/sh", Argv: []string{"my-name", "-c", "tr '\\0' ' ' < /proc/$$/cmdline"}}})
	if !strings.HasPrefix(r.out, "my-name ") {
		t.Errorf("argv[0] is lost: %s", r)
	}
}

func emptyArgument(t *testing.T, s *box) {
	r := s.run("", belljar.Command{Exec: belljar.Exec{Path: "/bin/sh", Argv: []string{"sh", "-c", "echo $#", "zero", "", "x"}}})
	if r.out != "2\n" {
		t.Errorf("%s", r)
	}
}

func envExact(t *testing.T, s *box) {
	t.Setenv("BELLJAR_TEST_SECRET", "secret")
	r := s.run("", belljar.Command{Exec: belljar.Exec{Path: "/usr/bin/env", Argv: []string{"env"}}})
	got := lines(r.out)
	slices.Sort(got)
	if want := strings.Join(s.plan.Env, "\n"); strings.Join(got, "\n") != want {
		t.Errorf("environment is %q, want %q", r.out, want)
	}
}

func envOwn(t *testing.T, s *box) {
	c := belljar.Command{Exec: belljar.Exec{Path: "/usr/bin/env", Argv: []string{"env"}}, Env: []string{"A=1", "B=x y"}}
	r := s.run("", c)
	for _, want := range c.Env {
		if !strings.Contains(r.out, want+"\n") {
			t.Errorf("environment lacks %q: %s", want, r)
		}
	}
	if strings.Contains(r.out, "LANG=") {
		t.Errorf("the plan's environment leaks into a command with its own: %s", r)
	}
}

func cwd(t *testing.T, s *box) {
	c := shell("pwd")
	c.Dir = "/usr/lib"
	if r := s.run("", c); r.out != "/usr/lib\n" {
		t.Errorf("%s", r)
	}
}

func startErr(s *box, c belljar.Command) error {
	s.t.Helper()
	p, err := s.in.Start(s.t.Context(), &c)
	if err != nil {
		return err
	}
	st, _ := p.Wait(s.t.Context())
	s.t.Errorf("start %q succeeded and ended with %+v", c.Path, st)
	return nil
}

func cwdMissing(t *testing.T, s *box) {
	c := shell("pwd")
	c.Dir = "/no/such/place"
	_ = startErr(s, c)
}

func startByName(t *testing.T, s *box) {
	s.sh("mkdir -p /tmp/by-name && printf '#!/bin/sh\necho found $0 $1\n' > /tmp/by-name/prog && chmod 755 /tmp/by-name/prog")
	for _, tty := range []bool{false, true} {
		r := s.run("", belljar.Command{
			Exec: belljar.Exec{Path: "prog", Argv: []string{"prog", "it"}, Dir: "/tmp"}, TTY: tty,
			Env: []string{"PATH=/tmp/none:/tmp/by-name:/usr/bin:/bin"},
		})
		if strings.TrimSpace(r.out) != "found /tmp/by-name/prog it" {
			t.Errorf("terminal %v: %s", tty, r)
		}
	}
	for name, kind := range map[string]belljar.Kind{"no-such-program": belljar.KindNotFound} {
		_, err := s.in.Start(t.Context(), &belljar.Command{Exec: belljar.Exec{Path: name, Argv: []string{name}, Dir: "/"}})
		if belljar.KindOf(err) != kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func startMissing(t *testing.T, s *box) {
	err := startErr(s, belljar.Command{Exec: belljar.Exec{Path: "/no/such/program", Argv: []string{"x"}, Dir: "/"}})
	if belljar.KindOf(err) != belljar.KindNotFound {
		t.Errorf("kind %d (%v), want not found", belljar.KindOf(err), err)
	}
}

func startRefused(t *testing.T, s *box) {
	err := startErr(s, belljar.Command{Exec: belljar.Exec{Path: "/etc/passwd", Argv: []string{"x"}, Dir: "/"}})
	if belljar.KindOf(err) != belljar.KindRefused {
		t.Errorf("kind %d (%v), want refused", belljar.KindOf(err), err)
	}
}

func script(t *testing.T, s *box) {
	s.want("printf '#!/bin/sh\\necho ran $1\\n' > /tmp/script && chmod +x /tmp/script && /tmp/script it", "ran it")
}

// background starts a script and waits until it has printed "ready".
func (s *box) background(script string) (belljar.Process, *reader) {
	s.t.Helper()
	ir, iw := s.pipe()
	iw.Close()
	or, ow := s.pipe()
	s.t.Cleanup(func() { or.Close() })
	c := shell(script)
	c.Stdin, c.Stdout = ir, ow
	p, err := s.in.Start(s.t.Context(), &c)
	if err != nil {
		s.t.Fatal(err)
	}
	rd := newReader(or)
	if !rd.until("ready", patience) {
		s.t.Fatalf("%q never printed ready: %q", script, rd.text())
	}
	return p, rd
}

func signalTerm(t *testing.T, s *box) {
	p, _ := s.background("echo ready; exec sleep 1000")
	if err := p.Signal(15); err != nil {
		t.Fatal(err)
	}
	if st := s.waitFor(p); st.Signal != 15 {
		t.Errorf("ended with %+v", st)
	}
}

func (s *box) waitFor(p belljar.Process) belljar.ExitStatus {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	st, err := p.Wait(ctx)
	if err != nil {
		s.t.Errorf("wait: %v", err)
	}
	return st
}

func signalHandled(t *testing.T, s *box) {
	p, _ := s.background("trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done")
	if err := p.Signal(10); err != nil {
		t.Fatal(err)
	}
	if st := s.waitFor(p); st.Code != 9 {
		t.Errorf("ended with %+v", st)
	}
}

func waitTwice(t *testing.T, s *box) {
	p, _ := s.background("echo ready; exit 5")
	if a, b := s.waitFor(p), s.waitFor(p); a.Code != 5 || b.Code != 5 {
		t.Errorf("got %+v, then %+v", a, b)
	}
}

func waitContext(t *testing.T, s *box) {
	p, _ := s.background("echo ready; exec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	_ = p.Signal(9)
	s.waitFor(p)
}

func concurrent(t *testing.T, s *box) {
	const n = 8
	got := make(chan string, n)
	for i := range n {
		go func() { got <- s.sh("sleep 0.05; echo " + itoa(i)).out }()
	}
	seen := map[string]bool{}
	for range n {
		seen[<-got] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d commands answered: %v", len(seen), n, seen)
	}
}

func initEnds(t *testing.T, s *box) {
	p, _ := s.background("echo ready; exec sleep 1000")
	s.stdin.Close()
	if st := s.waitFor(s.init); st.Status() != 0 {
		t.Errorf("the first command ended with %+v", st)
	}
	if st := s.waitFor(p); st.Status() == 0 {
		t.Errorf("a command outlived the first one: %+v", st)
	}
}

func initStays(t *testing.T, s *box) {
	s.stays = true
	s.start()
	for _, code := range []int{3, 0} {
		wantStatus(s, "(sleep 0.1 & exit "+itoa(code)+")", code, 0)
	}
	p, out := s.background("echo ready; exec sleep 1000")
	_ = out
	// What nobody waits for is collected.
	s.want("for i in 1 2 3 4 5 6 7 8; do (sleep 0 &) ; done; n=0; sleep 0.3; "+
		"while grep -qs '^State:.Z' /proc/[0-9]*/status && [ $n -lt 300 ]; do sleep 0.2; n=$((n+1)); done; grep -ls '^State:.Z' /proc/[0-9]*/status | wc -l", "0")
	if err := s.in.Close(); err != nil {
		t.Error(err)
	}
	if st := s.waitFor(p); st.Status() == 0 {
		t.Errorf("a command outlived the sandbox: %+v", st)
	}
}

// initWarm: what is got ready beforehand starts commands as another does, and twice is once.
func initWarm(t *testing.T, s *box) {
	s.stays = true
	s.start()
	w, ok := s.in.(belljar.Warmer)
	if !ok {
		t.Skip("it gets nothing ready beforehand")
	}
	for range 2 {
		if err := w.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.want("echo hot; pwd >/dev/null", "hot")
	wantStatus(s, "exit 3", 3, 0)
	s.want("echo again", "again")
	if err := s.in.Close(); err != nil {
		t.Error(err)
	}
}

func initFirst(t *testing.T, s *box) {
	first := strings.TrimSpace(s.sh("tr '\\0' ' ' < /proc/1/cmdline").out)
	if strings.HasPrefix(first, "/bin/sh") {
		return
	}
	if !strings.HasPrefix(first, "belljar-") {
		t.Errorf("process 1 is %q", first)
	}
	for _, f := range []string{"environ", "maps", "mem", "auxv", "stack"} {
		s.fails("cat /proc/1/" + f)
	}
	s.fails("ls /proc/1/fd")
	s.fails("readlink /proc/1/exe")
	// It cannot be ended from inside.
	s.sh("for n in $(seq 1 64); do kill -$n 1 2>/dev/null; done")
	s.want("echo lives", "lives")
}
