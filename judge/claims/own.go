package claims

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
)

// agentNames are the programs that are agents, or start them. A program is what the name of
// its file says, only where the sandbox cannot write.
var agentNames = []string{"claude", "claude.exe", "codex", "codex.js", "gemini", "gemini.js", "opencode", "opencode.exe"}

// ownPrograms are what agents are known to start by themselves: to look at the project and
// the system, and to learn what the user's shell sets. Everything below them has to be of
// this list too.
var ownPrograms = strings.Fields(`git rg uname getconf lsb_release getopt which id env cat cut tr sed awk mawk gawk wc sort ps
	pgrep hostname locale codex-code-mode-host`)

// hookWord is the first argument of the helper as the hook of an agent, whose name is the second.
const hookWord = "hook"

// ownScripts are how the scripts begin that agents give to a shell for themselves.
var ownScripts = []string{"SNAPSHOT_FILE=", "__codex_snapshot_", "__CODEX_SNAPSHOT_", "set -e; . \""}

// filesOf are the bare names of the file that was executed, where it is one that was given:
// its own, and that of a link in a folder of programs which was given, too. The first
// argument, which is anybody's choice, counts for files that are many programs.
func (t *table) filesOf(file, called string, argv []string) []string {
	if !t.given(file) {
		return nil
	}
	names := []string{path.Base(file)}
	if called != "" && slices.Contains([]string{"bin", "sbin"}, path.Base(path.Dir(called))) && t.given(called) {
		names = append(names, path.Base(called))
	}
	if slices.Contains([]string{"busybox", "toybox", "coreutils"}, names[0]) {
		names = append(names, strings.TrimPrefix(path.Base(first(argv)), "-"))
	}
	return names
}

func (x *execution) named(list []string) bool {
	return slices.ContainsFunc(x.files, func(n string) bool { return slices.Contains(list, n) })
}

// agent says whether x is an agent: by its file, or as the interpreter of before, which is
// the agent's script that the same process executed.
func (x *execution) agent(before *execution) bool {
	return x.named(agentNames) ||
		before != nil && x.named([]string{"node", "bun"}) && len(x.argv) > 1 && slices.Contains(before.paths, x.argv[1])
}

// hook says whether x is belljar's own program as the hook of an agent: the file itself, which
// nothing inside can write to or put another in the place of.
func (x *execution) hook() bool {
	return x.paths[0] == belljar.HelperPath && len(x.argv) == 3 && x.argv[1] == hookWord
}

// hookLine says whether a shell's line does nothing but run a hook.
func hookLine(line string) bool {
	agent, ok := strings.CutPrefix(line, belljar.HelperPath+" "+hookWord+" ")
	return ok && agent != "" && strings.Trim(agent, "abcdefghijklmnopqrstuvwxyz") == ""
}

// own says whether x is something that agents do by themselves.
func (x *execution) own() bool {
	if x.hook() {
		return true
	}
	if !x.named(shells) {
		// What git runs by its options is on record as a program of its own, below it.
		return x.named(ownPrograms)
	}
	s, ok := script(x.argv)
	return ok && (s == "env" || hookLine(s) || slices.ContainsFunc(ownScripts, func(p string) bool { return strings.HasPrefix(s, p) }))
}

// A thing is what no transcript tells: a program below an agent, or below what the user ran,
// with all below it.
type thing struct {
	x       *execution
	strange *execution // the first in its process that agents do not run by themselves
	bad     bool       // there is such a one, there or below
}

// A stage is what a process is from a time on.
type stage struct {
	since int    // the place in the record
	thing *thing // nil: an agent, what the user ran, or a claim's
}

// stageAt is what p was at a place in the record.
func (p *process) stageAt(at int) *thing {
	if p == nil {
		return nil
	}
	n, _ := slices.BinarySearchFunc(p.stages, at, func(s stage, at int) int {
		if s.since > at {
			return 1
		}
		return -1
	})
	if n == 0 {
		return nil
	}
	return p.stages[n-1].thing
}

// untold finds the things of p in what it executed before it was a claim's.
func (t *table) untold(p *process) (list []*thing) {
	var before *execution
	now := p.up.stageAt(p.execs[0].seq)
	for i, x := range p.execs {
		if p.claim != nil && (p.from == nil || x == p.from) {
			break
		}
		// What the user ran is in the plan; what it becomes or starts is nobody's word.
		users := p == t.first && i == 0
		if !x.refused && (users || x.agent(before)) {
			now = nil
			if x.agent(before) && (before == nil || x.named(agentNames)) {
				before = x
			}
		} else {
			of := now
			if of == nil {
				of = &thing{x: x}
				list = append(list, of)
			}
			if !x.own() {
				of.bad = true
				if of.strange == nil && p == of.x.proc {
					of.strange = x
				}
			}
			if x.refused {
				continue // it stayed what it was
			}
			now, before = of, nil
		}
		p.stages = append(p.stages, stage{x.seq, now})
	}
	if p.claim != nil {
		p.stages = append(p.stages, stage{since: p.covered})
	}
	return list
}

// rest judges what no claim covers, every execve of it: each tree of processes below an agent
// is one thing.
func (t *table) rest(rep *Report) {
	var all []*thing
	for _, p := range t.all { // parents first
		all = append(all, t.untold(p)...)
	}
	counts := map[string]int{}
	for _, th := range all {
		p := th.x.proc
		if !th.bad && p.claim != nil {
			continue // what an agent wraps around a line
		}
		if !th.bad {
			counts[path.Base(th.x.paths[0])]++
			continue
		}
		f := Finding{Verdict: NotTold, Time: th.x.at, Line: th.line(), PID: p.pid}
		if p.end != nil {
			s := p.end.Status()
			f.Status = &s
		}
		rep.Findings = append(rep.Findings, f)
	}
	rep.Own = []Own{}
	for n, c := range counts {
		rep.Own = append(rep.Own, Own{n, c})
	}
	slices.SortFunc(rep.Own, func(a, b Own) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Program, b.Program))
	})
}

// line is what makes th one that is told: the line that a shell was given, or words.
func (th *thing) line() string {
	x := th.x
	if th.strange != nil {
		x = th.strange
	}
	if l := lines(x.argv); len(l) > 0 && x.named(shells) {
		return l[len(l)-1]
	}
	return words(x.argv)
}
