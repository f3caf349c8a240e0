package event

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// A Filter selects entries. Its zero value selects all; every field that is set
// must match.
type Filter struct {
	Kinds []belljar.EventKind // one of these
	Since time.Time           // at or after
	Until time.Time           // before
	Host  string              // of a connection, a refusal or a question: the name or address, or *.name for all below it
	Path  string              // of a file, a program or the folder of a line: the path, or a pattern of package path, or a folder of it
	Text  string              // part of the entry as [Print] shows it, in any case

	// Process is a program that ran, or was to: its path, the last part of that, a pattern of
	// package path for either, or the number of a process; its end is selected with it.
	Process string
	Verdict Verdict // what became of it
}

// A Verdict says what became of what an event tells.
type Verdict string

// The verdicts that a [Filter] can ask for. Those of files are the record's own.
const (
	VerdictAllow Verdict = "allow" // what ran, was connected to, sent or answered so, a line too; a file that passed
	VerdictDeny  Verdict = "deny"  // what was refused or stopped, whatever it is
	VerdictHold  Verdict = "hold"  // a file that waits
	VerdictHide  Verdict = "hide"  // a file that does not exist inside
	VerdictAsk   Verdict = "ask"   // a question
)

// Verdicts lists what [Filter].Verdict may be.
func Verdicts() []Verdict {
	return []Verdict{VerdictAllow, VerdictDeny, VerdictHold, VerdictHide, VerdictAsk}
}

// VerdictOf says what became of what e tells; empty where that is no question.
func VerdictOf(e *belljar.Event) Verdict {
	switch {
	case e.File != nil && e.File.Verdict == "pass":
		return VerdictAllow
	case e.File != nil:
		return Verdict(e.File.Verdict)
	case e.Exec != nil && e.Exec.Refused != "", e.Kind == belljar.EventRefuse:
		return VerdictDeny
	case e.Judge != nil && e.Judge.Answer == "allowed": // a question to somebody is an event of its own
		return VerdictAllow
	case e.Judge != nil:
		return VerdictDeny
	case e.Exec != nil, e.Kind == belljar.EventConnect, e.Kind == belljar.EventRequest:
		return VerdictAllow
	case e.Ask == nil:
		return ""
	case e.Kind == belljar.EventAsk:
		return VerdictAsk
	case e.Ask.Answer == "allowed":
		return VerdictAllow
	}
	return VerdictDeny
}

// Match says whether f selects e, which it judges alone: of [Filter].Process it selects
// no ends of processes. [Read], [Follow] and [Search] do.
func (f *Filter) Match(e *Entry) bool {
	return f.matchOthers(e) && (f.Process == "" || e.Exec != nil && f.matchProgram(e.Exec) || e.Exit != nil && f.Process == strconv.Itoa(e.Exit.PID))
}

// matchOthers is Match but for the process.
func (f *Filter) matchOthers(e *Entry) bool {
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind) {
		return false
	}
	if !f.Since.IsZero() && e.Time.Before(f.Since) || !f.Until.IsZero() && !e.Time.Before(f.Until) {
		return false
	}
	if f.Host != "" && !f.matchHost(e) || f.Path != "" && !f.matchPath(e) {
		return false
	}
	if f.Verdict != "" && VerdictOf(&e.Event) != f.Verdict {
		return false
	}
	return f.Text == "" || strings.Contains(strings.ToLower(Line(e)), strings.ToLower(f.Text))
}

func (f *Filter) matchHost(e *Entry) bool {
	want := canonicalHost(f.Host)
	switch {
	case e.Net != nil:
		return hostIs(want, e.Net.Host) || e.Net.Addr == want
	case e.Ask != nil:
		return hostIs(want, e.Ask.Host)
	}
	return false
}

// canonicalHost is a host as the record has it.
func canonicalHost(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

func hostIs(want, host string) bool {
	if below, ok := strings.CutPrefix(want, "*"); ok {
		return strings.HasPrefix(below, ".") && strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return host == want
}

func (f *Filter) matchPath(e *Entry) bool {
	var names []string
	switch {
	case e.File != nil:
		names = []string{e.File.Path, e.File.To}
	case e.Exec != nil:
		names = []string{e.Exec.Path, e.Exec.Called}
	case e.Judge != nil:
		names = []string{e.Judge.Dir}
	}
	for _, n := range names {
		if n == "" {
			continue
		}
		if strings.HasPrefix(n, strings.TrimSuffix(f.Path, "/")+"/") || nameIs(f.Path, n) {
			return true
		}
	}
	return false
}

// nameIs says whether n is want, or fits it as a pattern.
func nameIs(want, n string) bool {
	if n == want {
		return true
	}
	ok, err := path.Match(want, n)
	return ok && err == nil
}

func (f *Filter) matchProgram(x *belljar.ExecEvent) bool {
	if f.Process == strconv.Itoa(x.PID) {
		return true
	}
	for _, n := range []string{x.Path, x.Called} {
		if n != "" && (nameIs(f.Process, n) || nameIs(f.Process, path.Base(n))) {
			return true
		}
	}
	return false
}
