package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/gateway"
	"github.com/belljar-dev/belljar/terminal"
)

// A Summary is what the closing lines tell.
type Summary struct {
	Name     string
	Passed   int
	Held     int
	Git      int                 // of Passed: git's own data
	Files    []belljar.FileEvent // most notable first: held, then user-run, then the rest
	Net      gateway.Summary
	Failed   []belljar.NetEvent // allowed hosts that could not be reached
	Commands int
	Took     time.Duration
}

func (r *run) summary() Summary {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	s := Summary{Name: r.p.Name, Net: r.gw.Summary(), Failed: r.counts.failed, Commands: r.counts.commands, Took: time.Since(r.began), Passed: r.counts.more}
	for _, e := range r.counts.files {
		switch e.Verdict {
		case "pass":
			s.Passed++
			if e.Class == "git-data" {
				s.Git++
				continue
			}
		case "hold":
			s.Held++
		default:
			continue
		}
		s.Files = append(s.Files, e)
	}
	sort.Slice(s.Files, func(i, j int) bool {
		a, b := weight(s.Files[i]), weight(s.Files[j])
		return a < b || a == b && s.Files[i].Path < s.Files[j].Path
	})
	return s
}

// weight sorts what a reviewer has to see first.
func weight(e belljar.FileEvent) int {
	switch {
	case e.Verdict == "hold":
		return 0
	case e.Class != "":
		return 1
	}
	return 2
}

// Lines are the three closing lines. They hold no control characters.
func (s *Summary) Lines() []string { return []string{s.fileLine(), s.netLine(), s.commandLine()} }

const shown = 3 // names in a line

func (s *Summary) fileLine() string {
	held := func(e belljar.FileEvent) bool { return e.Verdict == "hold" }
	first := slices.IndexFunc(s.Files, func(e belljar.FileEvent) bool { return !held(e) })
	if first < 0 {
		first = len(s.Files)
	}
	line := count(s.Passed-s.Git, "file changed", "files changed") + names(s.Files[first:], false)
	if s.Git > 0 {
		line += ", and git's own data"
	}
	if s.Held == 0 {
		return line + ", none waits"
	}
	return line + "; " + count(s.Held, "waits", "wait") + names(s.Files[:first], true) + "; belljar diff shows what waits"
}

func names(files []belljar.FileEvent, why bool) string {
	var out []string
	for _, e := range files {
		if len(out) == shown {
			out = append(out, "…")
			break
		}
		n := terminal.Escape(e.Path)
		if why && e.Reason != "" {
			n += " (" + terminal.Escape(e.Reason) + ")"
		} else if !why && e.Class == "user-run" {
			n += " (you may run it)"
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

func (s *Summary) netLine() string {
	var reached, refused []string
	for _, h := range s.Net.Reached {
		reached = appendShort(reached, h.Host)
	}
	fix, why := "", ""
	for _, f := range s.Net.Refused {
		refused = appendShort(refused, cmp.Or(f.Host, f.Proto))
		if fix == "" && f.Fix != "" {
			fix, why = f.Fix, f.Reason
		}
	}
	line := "reached " + list(reached) + ", refused " + list(refused)
	if len(s.Failed) > 0 {
		f := s.Failed[0]
		line += "; could not reach " + terminal.Escape(cmp.Or(f.Host, f.Addr)) + " (" + terminal.Escape(f.Reason) + ")"
	}
	if fix != "" {
		line += ": " + terminal.Escape(why) + "; to allow it: " + terminal.Escape(fix)
	}
	return line
}

func appendShort(l []string, s string) []string {
	s = terminal.Escape(s)
	switch {
	case s == "":
	case slices.Contains(l, s):
	case len(l) < shown:
		l = append(l, s)
	case len(l) == shown:
		l = append(l, "…")
	}
	return l
}

func list(l []string) string {
	if len(l) == 0 {
		return "nothing"
	}
	return strings.Join(l, ", ")
}

func (s *Summary) commandLine() string {
	return fmt.Sprintf("%s in %s; belljar log %s tells what they did",
		count(s.Commands, "program ran", "programs ran"), s.Took.Round(10*time.Millisecond), s.Name)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
