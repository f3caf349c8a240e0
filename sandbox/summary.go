package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/gitcommits"
)

// A Summary is what the closing lines tell.
type Summary struct {
	Name    string
	Passed  int                 // files that changed on the host
	Git     int                 // of Passed: git's own data
	Files   []belljar.FileEvent // that passed and are no data of git; what the user may run first
	Held    int                 // of Waiting: changed by this run
	Waiting []workspace.Change  // all that belljar diff shows, this run's first, the dangerous first
	Unread  error               // why Waiting is not complete
	Kept    int                 // what is held in a worktree of its own, and is no part of Waiting
	Commits gitcommits.Report   // self-running files in commits that were made inside
	Branch  *Branch             // of a worktree; nil: the sandbox had none

	Net      gateway.Summary
	Failed   []belljar.NetEvent // allowed hosts that could not be reached
	Used     []string           // credentials that were put in: "NAME to HOST"
	Leaks    []string           // stand-ins that were to go where they do not belong, and did not
	Commands int
	Stopped  int // programs that a rule kept from running
	Took     time.Duration
}

func (r *run) summary() Summary {
	w := &r.p.Workspace
	p := workspace.Project{Dir: w.Tree(), Shadow: w.Shadow, Hide: w.Hide, Hold: w.Hold}
	waiting, err := p.Settle()
	branch, kept := r.branch(), 0
	if branch != nil {
		kept, waiting = len(waiting), nil // what is held in a worktree of its own waits for nothing
	}
	commits := r.newCommits()
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	s := Summary{
		Name: r.p.Name, Net: r.gw.Summary(), Failed: r.counts.failed, Commands: r.counts.commands, Stopped: r.counts.stopped, Took: time.Since(r.began),
		Passed: r.counts.morePass, Waiting: waiting, Unread: err, Kept: kept, Commits: commits, Branch: branch,
		Used: r.counts.used, Leaks: r.counts.leaks,
	}
	ours := func(c workspace.Change) bool { return r.counts.more > 0 || r.counts.changed(c.Path) }
	slices.SortStableFunc(s.Waiting, func(a, b workspace.Change) int { return order(ours(a), ours(b)) })
	for s.Held < len(s.Waiting) && ours(s.Waiting[s.Held]) {
		s.Held++
	}
	for _, e := range r.counts.files {
		if e.Verdict != "pass" {
			continue
		}
		s.Passed++
		if e.Class == "git-data" {
			s.Git++
			continue
		}
		s.Files = append(s.Files, e.FileEvent)
	}
	slices.SortFunc(s.Files, func(a, b belljar.FileEvent) int {
		return cmp.Or(order(a.Class != "", b.Class != ""), strings.Compare(a.Path, b.Path))
	})
	return s
}

// order puts what is true first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// Lines are the three closing lines. They hold no control characters.
func (s *Summary) Lines() []string { return []string{s.fileLine(), s.netLine(), s.commandLine()} }

const shown = 3 // names in a line

func (s *Summary) fileLine() string {
	line := count(s.Passed-s.Git, "file changed", "files changed")
	var passed []string
	for _, e := range s.Files {
		n := terminal.Escape(e.Path)
		if e.To != "" {
			n += " -> " + terminal.Escape(e.To)
		}
		if e.Class == "user-run" {
			n += " (you may run it)"
		}
		passed = append(passed, n)
		if len(passed) > shown {
			break
		}
	}
	line += named(passed)
	switch {
	case s.Git > 0 && s.Git == s.Passed:
		line = "only git's own data changed"
	case s.Git > 0:
		line += ", and git's own data"
	}
	if s.Unread != nil {
		return line + "; what waits could not be listed: " + terminal.Escape(s.Unread.Error()) + s.committed()
	}
	return line + s.waits() + s.committed()
}

// committed warns of what runs by itself once somebody checks out what was
// committed inside.
func (s *Summary) committed() string {
	if len(s.Commits.Found) == 0 {
		if s.Commits.Commits > 0 && !s.Commits.Complete {
			return "; not all new commits could be looked at for files that run by themselves"
		}
		return ""
	}
	var list []string
	for _, f := range s.Commits.Found {
		list = append(list, terminal.Escape(f.Path)+" ("+terminal.Escape(f.Reason)+")")
		if len(list) > shown {
			break
		}
	}
	more := ""
	if !s.Commits.Complete {
		more = ", and not all could be looked at"
	}
	return "; new commits hold files that run by themselves once checked out" + named(list) + more
}

// waits tells exactly what belljar diff lists.
func (s *Summary) waits() string {
	all := len(s.Waiting)
	if s.Branch != nil {
		return s.Branch.line(s.Name)
	}
	if all == 0 {
		return ", nothing waits"
	}
	text := "; " + count(all, "waits", "wait")
	if s.Held == 0 {
		return text + " from other runs; belljar diff shows what waits"
	}
	if s.Held < all {
		text += fmt.Sprintf(", %d of them from other runs", all-s.Held)
	}
	var list []string
	for _, c := range s.Waiting[:s.Held] {
		n := c.Name()
		switch {
		case c.Conflict != "":
			n += " (conflict: " + terminal.Escape(c.Conflict) + ")"
		case c.Reason != "":
			n += " (" + terminal.Escape(c.Reason) + ")"
		}
		list = append(list, n)
		if len(list) > shown {
			break
		}
	}
	return text + named(list) + "; belljar diff shows what waits"
}

// named is a list behind what it lists: at most [shown] names.
func named(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return ": " + list(l)
}

func (s *Summary) netLine() string {
	var reached, refused []string
	for _, h := range s.Net.Reached {
		reached = appendNew(reached, h.Host)
	}
	for _, f := range s.Net.Refused {
		refused = appendNew(refused, cmp.Or(f.Host, f.Proto))
	}
	line := "reached " + list(reached) + ", refused " + list(refused)
	if len(s.Leaks) > 0 {
		line += "; something inside tried to carry a credential away, and sent a worthless stand-in nowhere: " + list(s.Leaks)
	}
	if len(s.Used) > 0 {
		line += "; credentials used: " + list(s.Used)
	}
	if f := s.first(); f != nil {
		line += "; " + terminal.Escape(f.Reason)
		if f.Fix != "" {
			line += "; to allow it: " + terminal.Escape(fix(f.Fix))
		}
	}
	if len(s.Failed) > 0 {
		f := s.Failed[0]
		line += "; could not reach " + terminal.Escape(cmp.Or(f.Host, f.Addr)) + " (" + terminal.Escape(f.Reason) + ")"
	}
	return line
}

// first is the refusal to tell of: the first that can be allowed, else the first
// with a reason.
func (s *Summary) first() *gateway.Refusal {
	for _, fixable := range []bool{true, false} {
		for i := range s.Net.Refused {
			if f := &s.Net.Refused[i]; f.Reason != "" && (f.Fix != "") == fixable {
				return f
			}
		}
	}
	return nil
}

// fix is a flag as a command that can be copied; what belongs into a file stays.
func fix(text string) string {
	if strings.HasPrefix(text, "--") && !strings.ContainsAny(text, "*?[]'\"$`\\") {
		return "belljar run " + text + " …"
	}
	return text
}

// appendNew appends s, where it says something and is not in the list.
func appendNew(l []string, s string) []string {
	if s = terminal.Escape(s); s == "" || slices.Contains(l, s) {
		return l
	}
	return append(l, s)
}

// list is l for people: at most [shown] names.
func list(l []string) string {
	switch {
	case len(l) == 0:
		return "nothing"
	case len(l) > shown:
		return strings.Join(l[:shown], ", ") + ", …"
	}
	return strings.Join(l, ", ")
}

func (s *Summary) commandLine() string {
	ran := count(s.Commands, "program ran", "programs ran")
	if s.Stopped > 0 {
		ran += fmt.Sprintf(", %d refused by rules for commands,", s.Stopped)
	}
	return fmt.Sprintf("%s in %s%s; belljar log %s tells what they did", ran, s.Took.Round(10*time.Millisecond), s.tokens(), s.Name)
}

// tokens tells what models used.
func (s *Summary) tokens() string {
	m := &s.Net.Models
	if s.Net.Calls == 0 {
		return ""
	}
	about := ""
	if m.Estimated {
		about = "at most "
	}
	text := fmt.Sprintf(", %s%d tokens spent (%d in, %d out", about, m.Total(), m.Input, m.Output)
	if cached := m.CacheRead + m.CacheWrite; cached > 0 {
		text += fmt.Sprintf(", %d cached", cached)
	}
	return text + ") in " + count(int(s.Net.Calls), "call of a model", "calls of models")
}

func count(n int, one, many string) string {
	switch n {
	case 0:
		return "no " + one
	case 1:
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
