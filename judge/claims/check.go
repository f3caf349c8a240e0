package claims

import (
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/terminal"
)

// slack is how far the times of a transcript and of the record may be apart: agents state
// some times when all is over, and clocks differ.
const slack = 15 * time.Second

// maxBack bounds how far shells for a claim, and the claim of a lost process, are looked for.
const maxBack = 256

// Bounds of the work. The commands of all lines and the words that are compared are the
// sandbox's choice, both sides of it.
const (
	maxParsed   = 4_000_000   // words
	maxCompared = 200_000_000 // words, names, and 64 bytes of a word
)

// Check compares claims, in order of time, with the programs on record. It returns the
// findings in order of time. The error is one of reading, [ErrRecord] or [ErrBounds].
func Check(told []*Claim, entries iter.Seq2[event.Entry, error]) (Report, error) {
	t, err := tableOf(entries)
	if err != nil {
		return Report{}, err
	}
	m := &matcher{t: t, shells: map[string][]*execution{}, mine: map[*Claim][]*execution{}, free: map[string][]*execution{}}
	m.index()
	rep := Report{Findings: []Finding{}}
	reads := make([]*reading, len(told))
	roots := make([]*execution, len(told))
	parsed := 0
	for i, c := range told {
		reads[i] = read(c.forShell())
		roots[i] = m.root(c)
		for j := range reads[i].commands {
			parsed += 1 + len(reads[i].commands[j].args)
		}
		if parsed > maxParsed {
			return Report{}, ErrBounds
		}
	}
	m.lost(told, roots, reads)
	for _, x := range t.execs {
		if c := x.proc.claim; c != nil {
			m.mine[c] = append(m.mine[c], x)
			continue
		}
		for _, n := range x.names {
			m.free[n] = append(m.free[n], x)
		}
	}
	for i, c := range told {
		rep.Findings = append(rep.Findings, m.judge(c, roots[i], reads[i]))
		if m.spent() {
			return Report{}, ErrBounds
		}
	}
	rep.Work = m.work
	t.rest(&rep)
	slices.SortStableFunc(rep.Findings, func(a, b Finding) int { return a.Time.Compare(b.Time) })
	return rep, nil
}

type matcher struct {
	t      *table
	shells map[string][]*execution // by the line that they were given
	mine   map[*Claim][]*execution // below its shell
	free   map[string][]*execution // of no claim, by name
	work   int                     // words that were compared
}

// spent says that no more is compared: what is found then means nothing.
func (m *matcher) spent() bool { return m.work > maxCompared }

// runs says whether x is an execution of c, as far as there is work left.
func (m *matcher) runs(x *execution, c *command) bool {
	m.work += 1 + len(x.argv)
	for i := range c.args {
		m.work += 1 + len(c.args[i].text)/64
	}
	return !m.spent() && x.runs(c)
}

func (m *matcher) index() {
	for _, x := range m.t.execs {
		if x.refused || !x.named(shells) {
			continue
		}
		for _, l := range lines(x.argv) {
			l = strings.TrimSpace(l)
			m.shells[l] = append(m.shells[l], x)
		}
	}
}

// in says whether something at t may be of c.
func (c *Claim) in(t time.Time) bool {
	return t.After(c.Time.Add(-slack)) && (c.Until.IsZero() || t.Before(c.Until.Add(slack)))
}

// root is the first shell that was given the line of c at that time and that no claim
// has: one with the stated status, if there is one.
func (m *matcher) root(c *Claim) *execution {
	var best *execution
	line := strings.TrimSpace(c.forShell())
	list := m.shells[line]
	// Claims are in order: what is too early for this one is so for all that follow.
	for len(list) > 0 && (list[0].used || list[0].proc.claim != nil || list[0].at.Before(c.Time.Add(-slack))) {
		list = list[1:]
	}
	m.shells[line] = list
	for _, x := range list[:min(len(list), maxBack)] {
		if x.used || x.proc.claim != nil || !c.in(x.at) {
			continue
		}
		fits := x.proc.end != nil && slices.Contains(c.Status, x.proc.end.Status())
		if best == nil || fits {
			best = x
		}
		if fits {
			break
		}
	}
	if best == nil {
		return nil
	}
	best.used = true
	m.coverFrom(best, c)
	return best
}

// coverFrom gives x, what its process executes after it, and what descends from it then to c.
func (m *matcher) coverFrom(x *execution, c *Claim) {
	m.cover(x.proc, c, x.seq)
	x.proc.from = x
}

// cover gives p and what descends from it since then to c, but for what another claim has.
func (m *matcher) cover(p *process, c *Claim, since int) {
	if p.claim != nil || p.execs[0].seq < since && p.up != nil && p.up.claim == c {
		return
	}
	p.claim, p.covered = c, since
	for _, q := range p.children {
		m.cover(q, c, since)
	}
}

// lost gives processes whose parent is not known, as it never executed anything or has
// ended, to the claim that ran at the time, or whose line names them.
func (m *matcher) lost(told []*Claim, roots []*execution, reads []*reading) {
	for _, p := range m.t.all {
		if p.claim != nil || p.up != nil || p == m.t.first {
			continue
		}
		if m.spent() {
			return
		}
		// Claims are in order: those that began before it, the latest first.
		end, _ := slices.BinarySearchFunc(told, p.began().Add(slack), func(c *Claim, t time.Time) int { return c.Time.Compare(t) })
		for i := end - 1; i >= max(0, end-maxBack); i-- {
			if roots[i] == nil || roots[i].at.After(p.began()) {
				continue
			}
			m.work++
			runs := roots[i].proc.running(p.began()) && p.parent > 1
			if runs || m.names(reads[i], p) {
				m.cover(p, told[i], p.execs[0].seq)
				break
			}
		}
	}
}

// names says whether the line may run what p executed.
func (m *matcher) names(r *reading, p *process) bool {
	if r.byName == nil {
		r.byName = map[string][]*command{}
		for i := range r.commands {
			for _, n := range r.commands[i].names() {
				r.byName[n] = append(r.byName[n], &r.commands[i])
			}
		}
	}
	for _, x := range p.execs {
		for _, n := range x.names {
			m.work++
			for _, c := range r.byName[n] {
				if m.runs(x, c) {
					return true
				}
				if m.spent() {
					return false
				}
			}
		}
	}
	return false
}

func (m *matcher) judge(c *Claim, root *execution, r *reading) Finding {
	f := Finding{Verdict: Executed, Time: c.Time, Line: c.Line, Claim: c}
	if root == nil {
		return m.withoutShell(f, c, r)
	}
	f.Time, f.PID = root.at, root.proc.pid
	seen := -1
	if root.proc.end != nil {
		seen = root.proc.end.Status()
		f.Status = &seen
	}
	mine := map[string][]*execution{}
	for _, x := range m.mine[c] {
		if x.seq < root.seq {
			continue
		}
		for _, n := range x.names {
			mine[n] = append(mine[n], x)
		}
	}
	for i := range r.commands {
		cmd := &r.commands[i]
		x := m.take(mine, cmd)
		switch {
		case x == nil && required(cmd, c, seen, i) && seen > 0 && c.saysMissing(cmd):
			f.Verdict, f.Why = AsSaid, "a shell was given the line and failed; the transcript says that it did not find "+terminal.Escape(path.Base(cmd.name))
		case x == nil && required(cmd, c, seen, i):
			f.Verdict = NotExecuted
			f.Why = "a shell was given the line, but " + terminal.Escape(path.Base(cmd.name)) + " was not executed as it says"
			return f
		case x != nil && cmd.last && len(c.Status) > 0 && x.proc != root.proc && x.proc.end != nil && !slices.Contains(c.Status, x.proc.end.Status()):
			s := x.proc.end.Status()
			f.Verdict, f.Status = OtherStatus, &s
			f.Why = fmt.Sprintf("the transcript says %s, %s ended with %d", statuses(c.Status), terminal.Escape(path.Base(cmd.name)), s)
			return f
		}
	}
	if len(c.Status) > 0 && seen >= 0 && !slices.Contains(c.Status, seen) {
		f.Verdict, f.Why = OtherStatus, fmt.Sprintf("the transcript says %s, it ended with %d", statuses(c.Status), seen)
	}
	return f
}

// take finds the first execution of cmd that no command before had.
func (m *matcher) take(mine map[string][]*execution, cmd *command) *execution {
	var best *execution
	for _, n := range cmd.names() {
		list := mine[n]
		for len(list) > 0 && list[0].used {
			list = list[1:]
		}
		mine[n] = list
		for _, x := range list {
			if best != nil && x.seq > best.seq || m.spent() {
				break
			}
			if m.work++; !x.used && m.runs(x, cmd) {
				best = x
				break
			}
		}
	}
	if best != nil {
		best.used = true
	}
	return best
}

// required says whether the line cannot have ended as it did without command i.
func required(cmd *command, c *Claim, seen, i int) bool {
	switch {
	case seen >= 126 && i > 0, seen < 0 && i > 0: // it may have been stopped before
		return false
	case seen == 126 || seen == 127 || seen >= 128:
		return false
	case cmd.sure == always:
		return true
	}
	return cmd.sure == onSuccess && slices.Contains(c.Status, 0) && len(c.Status) == 1
}

// saysMissing says whether the transcript itself has the shell say that it did not find the
// program. It is written inside: the status on record has to fit it.
func (c *Claim) saysMissing(cmd *command) bool {
	return strings.Contains(c.output, cmd.name+": command not found") || strings.Contains(c.output, cmd.name+": not found") ||
		strings.Contains(c.output, cmd.name+": No such file") || strings.Contains(c.output, cmd.name+": Permission denied")
}

// direct finds the execution of the one program of c that no shell was given, and gives
// its process to c.
func (m *matcher) direct(c *Claim, cmd *command) *execution {
	name := path.Base(cmd.name)
	free := m.free[name]
	for len(free) > 0 && (free[0].used || free[0].at.Before(c.Time.Add(-slack))) {
		free = free[1:]
	}
	m.free[name] = free
	for _, x := range free[:min(len(free), maxBack)] {
		if x.used || x.proc.claim != nil || !c.in(x.at) || !m.runs(x, cmd) {
			continue
		}
		x.used = true
		m.coverFrom(x, c)
		return x
	}
	return nil
}

// withoutShell judges a claim whose line no shell was given.
func (m *matcher) withoutShell(f Finding, c *Claim, r *reading) Finding {
	// One program, given by its words. What a shell would have to join needs a shell.
	if len(r.commands) == 1 && r.commands[0].sure != maybe {
		if x := m.direct(c, &r.commands[0]); x != nil {
			f.Time, f.PID = x.at, x.proc.pid
			if x.proc.end != nil {
				s := x.proc.end.Status()
				f.Status = &s
				if len(c.Status) > 0 && !slices.Contains(c.Status, s) {
					f.Verdict, f.Why = OtherStatus, fmt.Sprintf("the transcript says %s, it ended with %d", statuses(c.Status), s)
				}
			}
			return f
		}
	}
	if c.Failed {
		f.Verdict, f.Why = AsSaid, "the transcript tells of a refusal or failure without an exit status"
		return f
	}
	f.Verdict, f.Why = NotExecuted, "no shell was given this line at that time"
	return f
}

func statuses(list []int) string {
	var s []string
	for _, n := range list {
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, " or ")
}
