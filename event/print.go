package event

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
)

// PrintOptions say how entries look.
type PrintOptions struct {
	Color bool
	UTC   bool // instead of the local time
	Date  bool // in front of the time
}

// Print writes one line for e. Everything in it is safe for a terminal.
func Print(w io.Writer, e *Entry, o PrintOptions) error {
	at := e.Time.Local()
	if o.UTC {
		at = e.Time.UTC()
	}
	layout := "15:04:05.000"
	if o.Date {
		layout = "2006-01-02 15:04:05.000"
	}
	kind := fmt.Sprintf("%-8s", terminal.Escape(string(e.Kind)))
	when := at.Format(layout)
	if o.Color {
		when = "\x1b[2m" + when + "\x1b[0m"
		if c := color(e); c != "" {
			kind = "\x1b[" + c + "m" + kind + "\x1b[0m"
		}
	}
	_, err := io.WriteString(w, when+"  "+kind+"  "+Line(e)+"\n")
	return err
}

func color(e *Entry) string {
	switch {
	case e.Kind == belljar.EventRefuse, e.Kind == belljar.EventLimit, e.Exec != nil && e.Exec.Refused != "", e.Judge != nil && e.Judge.Answer == "denied":
		return "31"
	case e.File != nil && e.File.Verdict != "pass", e.Kind == belljar.EventTerminal, e.Kind == belljar.EventSampled:
		return "33"
	case e.Kind == belljar.EventStart, e.Kind == belljar.EventTake, e.Kind == belljar.EventEnd:
		return "1"
	}
	return ""
}

// Line is what [Print] shows of e behind time and kind: one line without control
// characters, escaped for a terminal.
func Line(e *Entry) string {
	switch {
	case e.Start != nil:
		return fmt.Sprintf("%s: %s in %s (tier %s, belljar %s, id %s)", terminal.Escape(e.Start.Name),
			Command(e.Start.Argv), terminal.Escape(e.Start.Workspace), terminal.Escape(e.Start.Tier),
			terminal.Escape(e.Start.Version), terminal.Escape(e.Start.ID))
	case e.Plan != nil:
		p := e.Plan
		return fmt.Sprintf("mode %s, %d mounts, %d network rules, memory %s, %g cpus, %d processes, time %s",
			terminal.Escape(string(p.Workspace.Mode)), len(p.Mounts), len(p.Network.Rules), bytesText(p.Limits.Memory),
			p.Limits.CPUs, p.Limits.Processes, p.Limits.Time)
	case e.Take != nil:
		return fmt.Sprintf("%s, by %s, %s after it was made", Command(e.Take.Argv), terminal.Escape(e.Take.By), e.Time.Sub(e.Take.Made).Round(time.Millisecond))
	case e.Exec != nil:
		return indent(e.Process) + execLine(e.Exec)
	case e.Exit != nil:
		return exitLine(e)
	case e.Net != nil:
		return netLine(e)
	case e.Ask != nil:
		return askLine(e.Ask)
	case e.Judge != nil:
		return judgeLine(e.Judge)
	case e.File != nil:
		return fileLine(e.File)
	case e.Limit != nil:
		s := fmt.Sprintf("%s: %d of %d", terminal.Escape(e.Limit.Limit), e.Limit.Used, e.Limit.Max)
		if e.Limit.Ended {
			s += ", this ended the run"
		}
		return s
	case e.Sampled != nil:
		return fmt.Sprintf("%d events of kind %s were not written one by one", e.Sampled.Count, terminal.Escape(string(e.Sampled.Of)))
	case e.Terminal != nil:
		return fmt.Sprintf("kept from the terminal: %s, %d times", terminal.Escape(e.Terminal.What), e.Terminal.Count)
	case e.Segment != nil:
		return fmt.Sprintf("the record goes on in file %d, after %s", e.Segment.Index+1, bytesText(e.Segment.Before))
	case e.End != nil:
		return endLine(e.End)
	}
	return ""
}

// maxIndent bounds how far programs are indented below those that started them.
const maxIndent = 12

func indent(p *Process) string {
	if p == nil {
		return ""
	}
	return strings.Repeat("  ", min(p.Depth, maxIndent))
}

func exitLine(e *Entry) string {
	s := fmt.Sprintf("%spid %d %s", indent(e.Process), e.Exit.PID, statusText(e.Exit.Status))
	if p := e.Process; p != nil {
		s += fmt.Sprintf(" after %s  [%s]", max(0, e.Time.Sub(p.Began)).Round(time.Millisecond), terminal.Escape(p.Path))
	}
	return s
}

func execLine(x *belljar.ExecEvent) string {
	s := Command(x.Argv)
	if len(x.Argv) == 0 || x.Argv[0] != x.Path {
		s += "  [" + terminal.Escape(x.Path) + "]"
	}
	if x.Truncated > 0 {
		s += fmt.Sprintf(" … %d bytes more", x.Truncated)
	}
	if x.Dir != "" {
		s += "  in " + terminal.Escape(x.Dir)
	}
	s += "  pid " + strconv.Itoa(x.PID)
	if x.Refused != "" {
		s += "  REFUSED: " + terminal.Escape(x.Refused)
	}
	return s
}

// judgeLine has the verdict first: what follows is from inside, quoted, and may imitate one.
func judgeLine(j *belljar.JudgeEvent) string {
	s := terminal.Escape(j.Verdict) + ", " + terminal.Escape(j.Answer) + ": " + terminal.Escape(j.Agent) + " " + quoted(j.Line)
	if j.Truncated > 0 {
		s += fmt.Sprintf(" … %d bytes more, SHA-256 of all %s", j.Truncated, terminal.Escape(j.Digest))
	}
	if j.Dir != "" {
		s += "  in " + quoted(j.Dir)
	}
	if j.Reason != "" {
		s += "  " + terminal.Escape(j.Reason)
	}
	return s
}

// quoted is s as one word of a shell, escaped for a terminal: nothing in it ends the quotes.
func quoted(s string) string { return "'" + strings.ReplaceAll(terminal.Escape(s), "'", `'\''`) + "'" }

func netLine(e *Entry) string {
	n := e.Net
	name := n.Host
	if name == "" {
		name = n.Addr
	}
	s := terminal.Escape(n.Proto) + " " + terminal.Escape(name)
	if n.Port != 0 {
		s += ":" + strconv.Itoa(int(n.Port))
	}
	if n.Host != "" && n.Addr != "" {
		s += " (" + terminal.Escape(n.Addr) + ")"
	}
	if n.Method != "" {
		s += "  " + terminal.Escape(n.Method) + " " + terminal.Escape(n.Path)
	}
	if n.Status != 0 {
		s += "  " + strconv.Itoa(n.Status)
	}
	if n.Sent != 0 || n.Received != 0 {
		s += fmt.Sprintf("  sent %s, received %s", bytesText(n.Sent), bytesText(n.Received))
	}
	if n.Millis != 0 {
		s += "  " + (time.Duration(n.Millis) * time.Millisecond).String()
	}
	if n.Count > 1 {
		s += fmt.Sprintf("  %d times", n.Count)
	}
	if n.Reason != "" {
		s += "  " + terminal.Escape(n.Reason)
	}
	if l := n.LLM; l != nil {
		s += fmt.Sprintf("  %s: %d tokens in, %d out, %d cached", terminal.Escape(l.Model), l.Input, l.Output, l.CacheRead+l.CacheWrite)
		if l.Estimated {
			s += ", at most"
		}
	}
	if n.Credential != "" {
		s += "  with " + terminal.Escape(n.Credential)
	}
	if n.Rule != nil {
		s += "  by " + originText(n.Rule)
	}
	if n.Nearest != nil {
		s += "  nearest: " + originText(n.Nearest)
	}
	if n.Fix != "" {
		s += "  fix: " + terminal.Escape(n.Fix)
	}
	return s
}

func fileLine(f *belljar.FileEvent) string {
	s := terminal.Escape(f.Verdict) + " " + terminal.Escape(f.Op) + " " + terminal.Escape(f.Path)
	if f.To != "" {
		s += " -> " + terminal.Escape(f.To)
	}
	if f.Class != "" {
		s += "  (" + terminal.Escape(f.Class) + ")"
	}
	if f.Reason != "" {
		s += "  " + terminal.Escape(f.Reason)
	}
	return s
}

func endLine(x *belljar.EndEvent) string {
	s := fmt.Sprintf("%s, status %d after %s: %d commands, %d files passed, %d held", terminal.Escape(string(x.Reason)),
		x.Status, (time.Duration(x.Millis) * time.Millisecond).String(), x.Commands, x.Passed, x.Held)
	if x.Limit != "" {
		s += ", limit " + terminal.Escape(x.Limit)
	}
	if x.Detail != "" {
		s += ", " + terminal.Escape(x.Detail)
	}
	return s
}

// Command is argv as one line for people: quoted as a shell would need it,
// escaped for a terminal.
func Command(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		esc := terminal.Escape(a)
		plain := a != "" && !strings.ContainsFunc(a, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
				strings.ContainsRune("_-./:=@%+,", r) || r > 0x7f)
		})
		if plain {
			b.WriteString(esc)
		} else {
			b.WriteString(quoted(a))
		}
	}
	return b.String()
}

func statusText(s belljar.ExitStatus) string {
	if s.Signal != 0 {
		return fmt.Sprintf("killed by signal %d", s.Signal)
	}
	return fmt.Sprintf("exited with %d", s.Code)
}

func originText(o *belljar.Origin) string {
	s := o.Layer
	if o.File != "" {
		s += " " + o.File
		if o.Line > 0 {
			s += ":" + strconv.Itoa(o.Line)
		}
	}
	if o.Text != "" {
		s += " `" + o.Text + "`"
	}
	return terminal.Escape(s)
}

func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f == float64(int64(f)) {
		return fmt.Sprintf("%d %s", int64(f), units[i])
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// askLine tells a question, or what became of it.
func askLine(a *belljar.AskEvent) string {
	what := fmt.Sprintf("%s port %d", terminal.Escape(a.Host), a.Port)
	if a.Method != "" {
		what = terminal.Escape(a.Method) + " " + terminal.Escape(a.Path) + " at " + what
	}
	if a.Command != "" {
		what = "to run " + terminal.Escape(a.Command)
	}
	s := what
	if a.ID != "" {
		s = "question " + terminal.Escape(a.ID) + ": " + what
	}
	if a.Proposed {
		s += ", proposed"
	}
	if a.Answer != "" {
		s += ": " + terminal.Escape(a.Answer)
	}
	if a.Scope != "" {
		s += " (" + terminal.Escape(a.Scope) + ")"
	}
	if a.By != "" {
		s += " by " + terminal.Escape(a.By)
	}
	if a.Note != "" {
		s += ", it says: " + terminal.Escape(a.Note)
	}
	return s
}
