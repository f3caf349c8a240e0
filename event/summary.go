package event

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// maxGroups bounds the different things of one sort that a summary counts apart.
const maxGroups = 10_000

// A Count is how often something happened.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
	Note  string `json:"note,omitempty"` // of a refused host: why; of a file: its class
	Fix   string `json:"fix,omitempty"`  // of a refused host: what would allow it
}

// A Summary condenses a record.
type Summary struct {
	Start    *belljar.StartEvent `json:"start,omitempty"`
	End      *belljar.EndEvent   `json:"end,omitempty"` // nil: still running, or killed
	Begin    time.Time           `json:"begin"`
	Last     time.Time           `json:"last"` // of the last event
	Events   int64               `json:"events"`
	Commands int64               `json:"commands"` // executed
	Programs []Count             `json:"programs"` // executed, most often first
	Stopped  []Count             `json:"stopped"`  // commands that were refused
	Reached  []Count             `json:"reached"`  // hosts
	Failed   []Count             `json:"failed"`   // allowed hosts that could not be reached, with the reason
	Refused  []Count             `json:"refused"`  // hosts, with reason and fix
	Used     []Count             `json:"used"`     // credentials that were put into requests, with the host
	Leaks    []Count             `json:"leaks"`    // credentials whose stand-in was found where it does not belong, with what came of it
	Models   []Count             `json:"models"`   // tokens that were spent, by model
	Passed   []Count             `json:"passed"`   // files that were changed on the host; self-running and user-run ones first
	Held     []Count             `json:"held"`     // files that wait, self-running ones first
	Denied   []Count             `json:"denied"`   // changes of files that were refused
	Limits   []Count             `json:"limits"`
	Terminal []Count             `json:"terminal"` // kept from the terminal
	Sampled  []Count             `json:"sampled"`  // events that are only counted
	Errors   []string            `json:"errors,omitempty"`
}

// Summarise condenses entries, as [Read] yields them, in bounded memory: beyond
// ten thousand different names of a sort, the rest is counted together.
func Summarise(entries iter.Seq2[Entry, error]) Summary {
	var s Summary
	var g groups
	for e, err := range entries {
		if err != nil {
			if len(s.Errors) < 10 {
				s.Errors = append(s.Errors, err.Error())
			}
			continue
		}
		s.Events++
		if s.Begin.IsZero() {
			s.Begin = e.Time
		}
		s.Last = e.Time
		s.take(&e, &g)
	}
	s.Programs, s.Stopped = g.programs.byCount(), g.stopped.byCount()
	s.Reached, s.Failed, s.Refused = g.reached.byCount(), g.failed.byCount(), g.refused.byCount()
	s.Used, s.Leaks, s.Models = g.used.byCount(), g.leaks.byCount(), g.models.byCount()
	s.Passed, s.Held, s.Denied = g.passed.byClass(), g.held.byClass(), g.denied.byClass()
	s.Limits, s.Terminal, s.Sampled = g.limits.byCount(), g.terminal.byCount(), g.sampled.byCount()
	return s
}

// groups are what a summary counts by name.
type groups struct {
	programs, stopped, reached, failed, refused group
	passed, held, denied                        group
	used, leaks, models                         group
	limits, terminal, sampled                   group
}

func (s *Summary) take(e *Entry, g *groups) {
	switch {
	case e.Start != nil:
		s.Start = e.Start
	case e.Take != nil && s.Start != nil:
		start := *s.Start
		start.Argv = e.Take.Argv // what it was made for is nothing that ran
		s.Start = &start
	case e.End != nil:
		s.End = e.End
	case e.Exec != nil && e.Exec.Refused != "":
		g.stopped.add(Command(e.Exec.Argv), 1, e.Exec.Refused, "")
	case e.Exec != nil:
		s.Commands++
		g.programs.add(e.Exec.Path, 1, "", "")
	case e.Net != nil:
		g.takeNet(e)
	case e.File != nil:
		g.takeFile(e.File)
	case e.Limit != nil:
		g.limits.add(e.Limit.Limit, 1, "", "")
	case e.Terminal != nil:
		g.terminal.add(e.Terminal.What, e.Terminal.Count, "", "")
	case e.Sampled != nil:
		g.sampled.add(string(e.Sampled.Of), e.Sampled.Count, "", "")
		if e.Sampled.Of == belljar.EventExec {
			s.Commands += e.Sampled.Count
		}
	}
}

func (g *groups) takeNet(e *Entry) {
	n := e.Net
	if n.LLM != nil {
		g.models.add(n.LLM.Model, n.LLM.Total(), "", "")
	}
	name := cmp.Or(n.Host, n.Addr)
	if n.Port != 0 && n.Port != 443 {
		name = fmt.Sprintf("%s:%d", name, n.Port)
	}
	switch e.Kind {
	case belljar.EventConnect:
		to := &g.reached
		if n.Reason != "" && n.Sent == 0 && n.Received == 0 {
			to = &g.failed
		}
		to.add(name, max(1, n.Count), n.Reason, "")
	case belljar.EventRequest:
		if n.Credential == "" {
			break
		}
		g.used.add(n.Credential+" to "+name, max(1, n.Count), "", "")
		if n.Reason != "" { // sent, but not as it should have been
			g.leaks.add(n.Credential+" to "+name, max(1, n.Count), n.Reason, "")
		}
	case belljar.EventRefuse:
		if n.Credential != "" {
			g.leaks.add(n.Credential+" to "+name, max(1, n.Count), n.Reason, "")
		}
		g.refused.add(name, max(1, n.Count), n.Reason, n.Fix)
	}
}

func (g *groups) takeFile(f *belljar.FileEvent) {
	to := &g.denied
	switch f.Verdict {
	case "pass":
		to = &g.passed
	case "hold":
		to = &g.held
	}
	name := f.Path
	switch {
	case f.Op == "commit":
		name += " in commit " + f.To[:min(len(f.To), 12)]
	case f.To != "":
		name = f.To
	}
	to.add(name, 1, f.Class, "")
}

// A group counts by name.
type group struct {
	at   map[string]int
	list []Count
	rest int64
}

func (g *group) add(name string, n int64, note, fix string) {
	if g.at == nil {
		g.at = make(map[string]int)
	}
	if i, ok := g.at[name]; ok {
		c := &g.list[i]
		c.Count += n
		c.Note, c.Fix = cmp.Or(c.Note, note), cmp.Or(c.Fix, fix)
		return
	}
	if len(g.list) == maxGroups {
		g.rest += n
		return
	}
	g.at[name] = len(g.list)
	g.list = append(g.list, Count{Name: name, Count: n, Note: note, Fix: fix})
}

func (g *group) byCount() []Count {
	slices.SortStableFunc(g.list, func(a, b Count) int { return cmp.Compare(b.Count, a.Count) })
	return g.all()
}

func (g *group) byClass() []Count {
	slices.SortStableFunc(g.list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(classOrder(a.Note), classOrder(b.Note)), cmp.Compare(a.Name, b.Name))
	})
	return g.all()
}

func (g *group) all() []Count {
	if g.list == nil {
		return []Count{} // an empty list in JSON, not null
	}
	if g.rest > 0 {
		return append(g.list, Count{Name: "others", Count: g.rest})
	}
	return g.list
}

// classOrder says what is shown first: what acts by itself, then what the user
// may run, then what has a class, then ordinary files.
func classOrder(class string) int {
	switch class {
	case "self-running":
		return 0
	case "user-run":
		return 1
	case "":
		return 3
	}
	return 2
}

// Write writes the summary for people, in at most so many lines where that can be: as many
// names a section as fit, at most 12; 0 lines means all 12. Everything in it is safe for a
// terminal.
func (s *Summary) Write(w io.Writer, lines int) error {
	const most = 12
	top := most
	text := s.text(top)
	for lines > 0 && top > 1 && strings.Count(text, "\n") > lines {
		top--
		text = s.text(top)
	}
	_, err := io.WriteString(w, text)
	return err
}

// text is the summary with at most top names a section.
func (s *Summary) text(top int) string {
	var b strings.Builder
	if s.Start != nil {
		fmt.Fprintf(&b, "%s  %s\n", terminal.Escape(s.Start.Name), Command(s.Start.Argv))
		fmt.Fprintf(&b, "  in %s, tier %s, id %s\n", terminal.Escape(s.Start.Workspace), terminal.Escape(s.Start.Tier), terminal.Escape(s.Start.ID))
	}
	took := s.Last.Sub(s.Begin).Round(time.Millisecond)
	if s.End != nil {
		fmt.Fprintf(&b, "  %s, status %d, after %s\n", terminal.Escape(string(s.End.Reason)), s.End.Status, took)
	} else {
		fmt.Fprintf(&b, "  no end on record (running, or killed); last event after %s\n", took)
	}
	section(&b, fmt.Sprintf("commands run: %d", s.Commands), s.Programs, top)
	section(&b, "commands refused", s.Stopped, top)
	section(&b, "hosts reached", s.Reached, top)
	section(&b, "hosts that could not be reached", s.Failed, top)
	section(&b, "hosts refused", s.Refused, top)
	section(&b, "credentials used", s.Used, top)
	section(&b, "tokens spent, by model", s.Models, top)
	section(&b, "credentials where they do not belong", s.Leaks, top)
	section(&b, fmt.Sprintf("files changed: %d", len(s.Passed)), s.Passed, top)
	section(&b, fmt.Sprintf("files that wait: %d", len(s.Held)), s.Held, top)
	section(&b, "changes refused", s.Denied, top)
	section(&b, "limits reached", s.Limits, top)
	section(&b, "kept from the terminal", s.Terminal, top)
	section(&b, "only counted", s.Sampled, top)
	for _, e := range s.Errors {
		fmt.Fprintf(&b, "damaged: %s\n", terminal.Escape(e))
	}
	return b.String()
}

func section(b *strings.Builder, title string, list []Count, top int) {
	if len(list) == 0 {
		return
	}
	b.WriteString(title + "\n")
	for i, c := range list {
		if i == top {
			fmt.Fprintf(b, "  … %d more\n", len(list)-top)
			return
		}
		fmt.Fprintf(b, "  %6d  %s", c.Count, terminal.Escape(c.Name))
		if c.Note != "" {
			b.WriteString("  (" + terminal.Escape(c.Note) + ")")
		}
		if c.Fix != "" {
			b.WriteString("  fix: " + terminal.Escape(c.Fix))
		}
		b.WriteString("\n")
	}
}
