package backendtest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/belljar-dev/belljar"
)

var commandCases = []tcase{
	{name: "commands/denied", why: "a program that the plan denies is covered, and stays so", holds: belljar.ReqDenied, plan: denyEnv, run: programDenied},
	{name: "commands/refused", why: "a program that must not run does not", holds: belljar.ReqCommands, exec: refuseMarked, run: commandRefused},
	{name: "commands/waits", why: "a program that somebody is asked about waits, and nothing else does", holds: belljar.ReqCommands, exec: waitMarked, run: func(t *testing.T, s *box) {
		s.want("/bin/echo marked > /tmp/out & /bin/echo other; /bin/true; test ! -s /tmp/out || echo early; kill -KILL $!; wait $!; echo $?", "other\n137")
	}},
	{name: "commands/signal", why: "a signal ends a program that waits, or is handled while it waits", holds: belljar.ReqCommands, exec: waitMarked, run: commandSignal},
	{name: "commands/end", why: "a sandbox ends while a program waits", holds: belljar.ReqCommands, exec: waitMarked, run: func(_ *testing.T, s *box) {
		s.sh("(exec > /dev/null 2>&1; exec /bin/echo marked) & true") // a shell keeps its own output open until execve is done
	}},
	{name: "commands/threads", why: "many programs at once are asked about one by one", holds: belljar.ReqCommands, exec: refuseMarked, run: func(t *testing.T, s *box) {
		s.want(`for i in 1 2 3 4 5 6 7 8; do (n=0; for j in 1 2 3 4 5 6 7 8 9 10; do /bin/echo marked 2>/dev/null || n=$((n+1)); /bin/true || echo bad; done; echo $n) & done; wait`,
			strings.TrimSpace(strings.Repeat("10\n", 8)))
		if n := len(s.settled().execs("marked")); n != 80 {
			t.Errorf("%d of 80 refusals are on record", n)
		}
	}},
}

// programDenied: a program that the plan has covered is neither executed nor read, by
// whatever way, and the cover stays. The host's file is what it was.
func programDenied(t *testing.T, s *box) {
	r := s.sh(`/usr/bin/env; echo direct $?; /bin/env; echo link $?
for ld in /lib*/ld-linux*.so.* /lib/ld-musl*; do if test -e $ld; then $ld /usr/bin/env; echo loader $?; fi; done
cat /usr/bin/env > /tmp/copy; echo read $?; ln /usr/bin/env /tmp/hard; echo hard $?
(exec 5</usr/bin/env && exec /proc/self/fd/5); echo descriptor $?
chmod 755 /usr/bin/env; echo mode $?; umount -l -i /usr/bin/env; echo umount $?; rm -f /usr/bin/env; echo rm $?
/usr/bin/env; echo still $?; /bin/true && echo others run`)
	for _, line := range strings.Split(strings.TrimSpace(r.out), "\n") {
		if strings.HasSuffix(line, " 0") {
			t.Errorf("it worked: %s", line)
		}
	}
	if !strings.HasSuffix(r.out, "still 126\nothers run\n") || strings.Contains(r.out, "PATH=") {
		t.Errorf("%s", r)
	}
	if st, err := os.Stat("/usr/bin/env"); err != nil || st.Size() == 0 || st.Mode()&0o111 == 0 {
		t.Errorf("the host's file is %v %v", st, err)
	}
}

func denyEnv(p *belljar.Plan) {
	p.Denied = []belljar.DeniedProgram{{Verdict: "deny", Pattern: "env *", Files: []string{"/usr/bin/env"}}}
}

func marked(e *belljar.ExecEvent) bool { return slices.Contains(e.Argv, "marked") }

func refuseMarked(_ *testing.T, _ context.Context, e *belljar.ExecEvent) string {
	if marked(e) {
		return "it is marked"
	}
	return ""
}

// waitMarked never answers about what is marked.
func waitMarked(_ *testing.T, ctx context.Context, e *belljar.ExecEvent) string {
	if !marked(e) {
		return ""
	}
	<-ctx.Done()
	return "nobody answered"
}

func commandRefused(t *testing.T, s *box) {
	r := s.sh("/bin/echo marked; echo status $?; (exec /bin/echo marked); echo status $?; ln -s /bin/echo /tmp/e; /tmp/e marked || echo link; /bin/echo through")
	if strings.Count(r.out, "status 126") != 2 || !strings.Contains(r.out, "link\nthrough") || strings.Contains(r.out, "marked") {
		t.Errorf("%s", r)
	}
	l := s.settled().execs("marked")
	if len(l) < 3 {
		t.Fatalf("%d refusals are on record", len(l))
	}
	for _, e := range l {
		if e.Refused != "it is marked" {
			t.Errorf("%+v", e)
		}
	}
	if e := l[len(l)-1]; e.Called != "/tmp/e" || !strings.HasSuffix(e.Path, "/echo") {
		t.Errorf("called %q, is %q", e.Called, e.Path)
	}
}

// commandSignal: a deadly signal ends the process that waits in execve, a handled one in a
// sibling does not let it through.
func commandSignal(t *testing.T, s *box) {
	s.want("/bin/echo marked & sleep 0.3; kill -TERM $!; wait $!; echo $?", "143")
	s.want("/bin/echo marked & sleep 0.3; kill -WINCH $!; sleep 0.3; kill -0 $! && echo waits; kill -KILL $!; wait $!; echo $?", "waits\n137")
	if n := len(s.settled().execs("marked")); n != 0 {
		t.Errorf("%d programs that never ran are on record", n)
	}
}
