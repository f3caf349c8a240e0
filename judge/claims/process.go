package claims

import (
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
)

// Bounds of what is kept of a record.
const (
	maxExecs = 500_000
	maxArgv  = 256 << 20 // bytes of all arguments
)

// ErrRecord says that more programs are on record than are compared.
var ErrRecord = errors.New("more programs are on record than can be compared with a transcript")

// A process is one pid from its first execve to its end.
type process struct {
	pid, parent int
	execs       []*execution
	children    []*process
	end         *belljar.ExitStatus
	ended       time.Time

	up    *process
	claim *Claim // it runs for this one
	// from is the execution with which the claim begins; nil: all of the process is the
	// claim's, which covers it since covered.
	from    *execution
	covered int
	stages  []stage
}

// An execution is one execve.
type execution struct {
	seq     int // its place in the record
	at      time.Time
	names   []string // bare: of the file, the path that was asked for, the first argument
	argv    []string
	cut     bool
	refused bool
	files   []string // bare, of the file if it came from outside and cannot be written inside
	paths   []string // of the file, and that was asked for
	proc    *process
	used    bool // by a command of a claim
}

// A table is all processes of a record.
type table struct {
	all   []*process // in the order of their first execve
	execs []*execution
	live  map[int]*process
	first *process
	bytes int
	// mounts are what the sandbox was given, and whether it may write there.
	mounts map[string]bool
}

// tableOf reads the executions and exits of a record.
func tableOf(entries iter.Seq2[event.Entry, error]) (*table, error) {
	t := &table{live: map[int]*process{}}
	for e, err := range entries {
		switch {
		case err != nil:
			return nil, err
		case e.Plan != nil:
			if err := t.plan(e.Plan); err != nil {
				return nil, err
			}
		case e.Exec != nil:
			if err := t.exec(e.Time, e.Exec); err != nil {
				return nil, err
			}
		case e.Exit != nil:
			if p := t.live[e.Exit.PID]; p != nil {
				s := e.Exit.Status
				p.end, p.ended = &s, e.Time
				delete(t.live, e.Exit.PID)
			}
		}
	}
	return t, nil
}

// ErrNotSeen says that the tier of the run does not see which programs are executed.
var ErrNotSeen = errors.New("the programs that were executed are not on record")

func (t *table) plan(p *belljar.Plan) error {
	for _, e := range p.Enforcement {
		if e.Requirement == belljar.ReqExec && e.Level != belljar.Enforced {
			return fmt.Errorf("%w: %s", ErrNotSeen, e.Gap)
		}
	}
	t.mounts = map[string]bool{}
	for _, m := range p.Mounts {
		t.mounts[m.Target] = !m.ReadOnly && m.Kind != belljar.MountDir && m.Kind != belljar.MountSymlink
	}
	for _, v := range p.Workspace.Views {
		t.mounts[v.Target] = true
	}
	return nil
}

// given says whether the program at file is one that was given to the sandbox: what lies
// where it may write may be anything, whatever its name.
func (t *table) given(file string) bool {
	for at := path.Clean(file); ; at = path.Dir(at) {
		if writable, ok := t.mounts[at]; ok {
			return !writable
		}
		if at == "/" || at == "." {
			return false
		}
	}
}

func (t *table) exec(at time.Time, e *belljar.ExecEvent) error {
	for _, a := range e.Argv {
		t.bytes += len(a)
	}
	if len(t.execs) >= maxExecs || t.bytes > maxArgv {
		return ErrRecord
	}
	p := t.live[e.PID]
	if p == nil {
		p = &process{pid: e.PID, parent: e.Parent}
		if up := t.live[e.Parent]; up != nil {
			p.up = up
			up.children = append(up.children, p)
		}
		t.live[e.PID], t.all = p, append(t.all, p)
		if t.first == nil {
			t.first = p
		}
	}
	x := &execution{files: t.filesOf(e.Path, e.Called, e.Argv), paths: []string{e.Path}, seq: len(t.execs), at: at, argv: e.Argv, cut: e.Truncated > 0, refused: e.Refused != "", proc: p}
	if e.Called != "" {
		x.paths = append(x.paths, e.Called)
	}
	for _, n := range []string{e.Path, e.Called, first(e.Argv)} {
		if n = strings.TrimPrefix(path.Base(n), "-"); n != "." && !slices.Contains(x.names, n) {
			x.names = append(x.names, n)
		}
	}
	p.execs = append(p.execs, x)
	t.execs = append(t.execs, x)
	return nil
}

func first(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}

// began is the time of its first execve.
func (p *process) began() time.Time { return p.execs[0].at }

// running says whether p ran at t.
func (p *process) running(t time.Time) bool {
	return !t.Before(p.began()) && (p.end == nil || !t.After(p.ended))
}

// runs says whether x is an execution of c. Claude Code's shell has functions in the place
// of some programs, which add words.
func (x *execution) runs(c *command) bool {
	if x.refused {
		return false
	}
	name, more := path.Base(c.name), false
	if !slices.Contains(x.names, name) {
		other, ok := shadowed[name]
		if !ok || !slices.Contains(x.names, other) {
			return false
		}
		more = true
	}
	var have []string
	if len(x.argv) > 0 {
		have = x.argv[1:]
	}
	for _, w := range c.args {
		more = more || !w.known
	}
	if !more && !x.cut {
		return slices.EqualFunc(c.args, have, func(w word, s string) bool { return w.text == s }) || interpreted(c, x)
	}
	for _, w := range c.args {
		if !w.known {
			continue
		}
		i := slices.Index(have, w.text)
		if i < 0 {
			return x.cut
		}
		have = have[i+1:]
	}
	return true
}

// interpreted: of a script, the interpreter's words stand before the script's own.
func interpreted(c *command, x *execution) bool {
	n := len(x.argv) - len(c.args)
	return n > 1 && path.Base(x.argv[n-1]) == path.Base(c.name) &&
		slices.EqualFunc(c.args, x.argv[n:], func(w word, s string) bool { return w.text == s })
}

// shadowed are the programs in whose place Claude Code's shell runs another, by the name
// that this one has.
var shadowed = map[string]string{"find": "bfs", "grep": "ugrep", "rg": "rg"}

// names are those that an execution of c may have.
func (c *command) names() []string {
	name := path.Base(c.name)
	if other, ok := shadowed[name]; ok && other != name {
		return []string{name, other}
	}
	return []string{name}
}
