// Package judge says what a shell line would do, and what a policy makes of it.
//
//	j, err := judge.New(commands)
//	d := j.Line("git status && sudo id") // d.Verdict == judge.Deny
//
// A line is parsed as bash does, and every simple command, redirection and assignment
// that can run is judged: through lists, loops, functions and substitutions, through
// wrappers (env, timeout, xargs, find -exec, bash -c …) and through options that run
// programs (sort --compress-program, git -c core.pager, tar --to-command …). The verdict
// of the line is the strictest of them. Commands are allowed by a rule of the policy
// only; what the tables and rules do not know is a question.
//
// What a command does beyond its name is judged whatever the rules say ([Guards]):
// reading secrets, writing files that control other programs, deleting and writing
// outside, variables that load code, code from the network, history that is forced.
//
// # Limitations
//
// The judge is not a boundary. It reads text: it does not know which files exist, what
// scripts, makefiles and tests contain, which aliases a shell has, or what a program that
// it allows does on its own. A line that it allows may do harm through any of these;
// what holds is the sandbox. The judge makes agents stop and ask where people would.
package judge

import (
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/judge/internal/place"
	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// A Verdict is what becomes of a line; a larger one is stricter.
type Verdict uint8

// Verdicts.
const (
	Allow Verdict = iota
	Ask
	Deny
)

// String is allow, ask or deny.
func (v Verdict) String() string { return [...]string{"allow", "ask", "deny"}[min(v, Deny)] }

// MarshalText writes the verdict as [Verdict.String] does.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Finding is the verdict of one part of a line.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"` // for people, one line
	Rule    string  `json:"rule"`   // the pattern or the name of the guard that decided
	Part    string  `json:"part"`   // the part of the line that was judged
}

// A Decision is the verdict of a line: its strictest finding, and all of them in the
// order of the line. Texts come from the line: escape them before printing.
type Decision struct {
	Finding
	Findings []Finding `json:"findings"`
}

// A Judge holds the rules of one policy. It is immutable and safe for concurrent use.
type Judge struct {
	context  belljar.CommandContext
	rules    [3]ruleList // by verdict
	secrets  place.Set
	examples place.Set
	doubtful place.Set
	control  place.Set
	system   place.Set
	held     place.Set
	harmless place.Set
}

// Defaults of a context.
const (
	defaultDir  = "/workspace"
	defaultHome = "/nonexistent"
)

// New makes a judge. The error names the pattern that cannot be.
func New(c belljar.Commands) (*Judge, error) {
	j := &Judge{context: c.Context}
	x := &j.context
	if x.Dir == "" {
		x.Dir = defaultDir
	}
	if x.Home == "" {
		x.Home = defaultHome
	}
	if x.Writable == nil {
		x.Writable = []string{x.Dir, "/tmp"}
	}
	if len(x.Programs) == 0 {
		x.Programs = []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/go/bin"}
	}
	x.Dir, x.Home = path.Clean(x.Dir), path.Clean(x.Home)
	x.Writable, x.Programs = cleaned(x.Writable), cleaned(x.Programs)
	if err := j.compile(c.Rules); err != nil {
		return nil, err
	}
	set := func(l []string) place.Set { return place.NewSet(x.Home, l) }
	j.secrets, j.examples, j.doubtful = set(place.Secrets()), set(place.Examples()), set(place.Doubtful())
	j.control, j.system = set(place.Control()), set(place.System())
	j.held, j.harmless = set(place.Held()), set(place.Harmless())
	return j, nil
}

func cleaned(l []string) []string {
	out := make([]string, len(l))
	for i, p := range l {
		out[i] = path.Clean(p)
	}
	return out
}

// Bounds of the work for one line.
const (
	maxCommands = 4000    // commands, those of loops counted each time
	maxWork     = 300_000 // steps of any kind
	maxNested   = 8       // lines within lines
	maxFindings = 64      // findings that are kept
	maxPart     = 160     // bytes of a part that are shown
)

// Line judges a line. It never panics, and takes time and memory in proportion to
// the line, within bounds; what lies beyond them is a question.
func (j *Judge) Line(line string) Decision { return j.line(line, nil) }

// line judges a line, for a run where setting is not nil.
func (j *Judge) line(line string, setting *Setting) (d Decision) {
	w := &walk{judge: j, left: maxCommands, work: maxWork, state: newState(j), setting: setting}
	if setting != nil && path.IsAbs(setting.Dir) {
		w.state.dir = path.Clean(setting.Dir)
	}
	defer func() {
		if e := recover(); e != nil { // hostile bytes met a fault of ours: never allow
			w.note(Finding{Ask, "the line could not be judged", guardShape, shorten(line)})
			d = w.decision()
		}
	}()
	w.unsets = strings.Contains(strings.NewReplacer(`"`, "", "'", "", `\`, "").Replace(line), "unset")
	w.line(line)
	w.settle()
	return w.decision()
}

// decision is the strictest finding with all of them.
func (w *walk) decision() Decision {
	d := Decision{Finding: Finding{Verdict: Allow, Reason: "nothing is run"}, Findings: w.findings}
	if len(w.findings) > 0 {
		d.Finding = slices.MaxFunc(w.findings, func(a, b Finding) int { return int(a.Verdict) - int(b.Verdict) })
	}
	return d
}

// note keeps a finding; of too many, the strictest.
func (w *walk) note(f Finding) {
	if w.quiet > 0 || !w.setting.counts(w.judge, f, w.executed) {
		return
	}
	f.Part = shorten(f.Part)
	if len(w.findings) < maxFindings {
		w.findings = append(w.findings, f)
		return
	}
	weakest := 0
	for i := range w.findings {
		if w.findings[i].Verdict < w.findings[weakest].Verdict {
			weakest = i
		}
	}
	if w.findings[weakest].Verdict < f.Verdict {
		w.findings[weakest] = f
	}
}

func shorten(s string) string {
	if len(s) <= maxPart {
		return shell.Show(s)
	}
	return shell.Show(strings.ToValidUTF8(s[:maxPart], "")) + "…"
}
