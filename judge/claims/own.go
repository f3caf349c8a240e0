package claims

import (
	"cmp"
	"slices"
	"strings"
)

// agentNames are the programs that are agents, or start them. A program is what its name says
// only where the sandbox cannot write.
var agentNames = []string{"claude", "claude.exe", "codex", "codex.js"}

// ownPrograms are what agents are known to start by themselves: to look at the project and
// the system, and to learn what the user's shell sets. Everything below them has to be of
// this list too.
var ownPrograms = strings.Fields(`git rg uname getconf lsb_release getopt which id env cat cut tr sed awk mawk gawk wc sort ps
	pgrep hostname locale codex-code-mode-host`)

// ownScripts are how the scripts begin that agents give to a shell for themselves.
var ownScripts = []string{"SNAPSHOT_FILE=", "__codex_snapshot_", "set -e; . \""}

func (x *execution) named(list []string) bool {
	return x.given && slices.ContainsFunc(x.names, func(n string) bool { return slices.Contains(list, n) })
}

// agent says whether p is an agent, by the name of its file: not what an agent's program
// has become, but for its interpreter.
func (p *process) agent() bool {
	last := p.execs[len(p.execs)-1]
	return last.named(agentNames) || last.named([]string{"node", "bun"}) &&
		slices.ContainsFunc(p.execs, func(x *execution) bool { return x.named(agentNames) })
}

// own says whether x is something that agents do by themselves.
func (x *execution) own() bool {
	s, ok := script(x.argv)
	if !ok {
		// What git runs by its options is on record as a program of its own, below it.
		return x.named(ownPrograms) || x.named(agentNames)
	}
	return x.given && (s == "env" || slices.ContainsFunc(ownScripts, func(p string) bool { return strings.HasPrefix(s, p) }))
}

// rest judges what no claim covers: each tree of processes below the agent is one thing.
func (t *table) rest(rep *Report, at *matcher) {
	counts := map[string]int{}
	for _, p := range t.all {
		if p.claim != nil || at.hosts[p] || p == t.first || p.agent() {
			continue
		}
		if p.up != nil && p.up.claim == nil && !at.hosts[p.up] && p.up != t.first && !p.up.agent() {
			continue // told with its parent
		}
		if p.up == t.first && !t.first.agent() && !at.hosts[t.first] {
			counts[programOf(p)]++ // of the command that the user gave, which is no agent
			continue
		}
		all := p.below(func(q *process) bool {
			return q.claim != nil || !slices.ContainsFunc(q.execs, func(x *execution) bool { return !x.own() })
		})
		if all {
			counts[programOf(p)]++
			continue
		}
		f := Finding{Verdict: NotTold, Time: p.began(), Line: p.line(), PID: p.pid}
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

// line is what p was given to run: the last line of a shell that it was, else its words.
func (p *process) line() string {
	for _, x := range slices.Backward(p.execs) {
		if l := lines(x.argv); len(l) > 0 {
			return l[len(l)-1]
		}
	}
	return lineOf(p.execs[len(p.execs)-1].argv)
}

func programOf(p *process) string {
	x := p.execs[len(p.execs)-1]
	if len(x.names) == 0 {
		return ""
	}
	return x.names[0]
}
