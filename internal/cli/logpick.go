package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// picked are the flags that say which events are meant.
type picked struct {
	kinds                                      []string
	since, until, process, path, host, verdict string
}

func (p *picked) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&p.kinds, "kind", nil, "only events of this `KIND`: exec, refuse, file, …")
	f.StringVar(&p.since, "since", "", "only what happened at this `TIME` or later")
	f.StringVar(&p.until, "until", "", "only what happened before this `TIME`")
	f.StringVar(&p.process, "process", "", "only this `PROGRAM` (name, path, pattern) or process by number, and its end")
	f.StringVar(&p.path, "path", "", "only this `PATH`, file or program; a folder means what is below, a pattern what fits")
	f.StringVar(&p.host, "host", "", "only this `HOST`, name or address; *.NAME means all below")
	f.StringVar(&p.verdict, "verdict", "", "only what ended so: `VERDICT` is allow, deny, hold, hide or ask")
	_ = c.RegisterFlagCompletionFunc("kind", offer(kindNames()...)) // an error is a flag that is not there
	_ = c.RegisterFlagCompletionFunc("verdict", offer(verdictNames()...))
	for _, name := range []string{"since", "until", "process", "host"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

func verdictNames() []string {
	var names []string
	for _, v := range event.Verdicts() {
		names = append(names, string(v))
	}
	return names
}

// filter is what the flags say.
func (p *picked) filter(now time.Time) (event.Filter, error) {
	f := event.Filter{Process: p.process, Path: p.path, Host: p.host, Verdict: event.Verdict(p.verdict)}
	for _, k := range p.kinds {
		if !slices.Contains(eventKinds, belljar.EventKind(k)) {
			return f, usage(fmt.Errorf("unknown kind of event %q", k), "the kinds are: "+strings.Join(kindNames(), ", "))
		}
		f.Kinds = append(f.Kinds, belljar.EventKind(k))
	}
	if p.verdict == "pass" { // as the record says of files
		f.Verdict = event.VerdictAllow
	} else if p.verdict != "" && !slices.Contains(event.Verdicts(), f.Verdict) {
		return f, usage(fmt.Errorf("unknown verdict %q", p.verdict), "the verdicts are: "+strings.Join(verdictNames(), ", "))
	}
	for flag, pattern := range map[string]string{"path": p.path, "process": p.process} {
		if _, err := path.Match(pattern, ""); err != nil {
			return f, usage(fmt.Errorf("--%s %q is no pattern: %w", flag, pattern, err), "write \\[ for a bracket that is part of a name")
		}
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", p.since, &f.Since}, {"until", p.until, &f.Until}} {
		var ok bool
		if *t.to, ok = when(t.text, now); !ok {
			return f, usage(fmt.Errorf("--%s %q is no time", t.flag, t.text), "write 30m, 7d, 2w, 2026-11-28, '2026-11-28 15:04' or 15:04")
		}
	}
	return f, nil
}

// when is the time that people mean: a moment, or how long before now. Empty is the zero time.
func when(text string, now time.Time) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{"15:04", time.TimeOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true
		}
	}
	days := map[byte]int{'d': 1, 'w': 7}[text[len(text)-1]]
	if n, err := strconv.ParseUint(text[:len(text)-1], 10, 16); err == nil && days > 0 {
		return now.AddDate(0, 0, -days*int(n)), true
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), true
	}
	return time.Time{}, false
}

// logAll shows what the filter selects of every record.
func (a *App) logAll(ctx context.Context, h *host, f event.Filter, asJSON bool) error {
	infos, err := event.List(h.dirs.State)
	if err != nil {
		return err
	}
	o := event.PrintOptions{Color: useColor(a.Out), Date: true}
	out := bufio.NewWriter(a.Out)
	for e, err := range event.Search(ctx, infos, f) {
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			printError(a.Err, err)
			a.status = belljar.KindInternal.ExitStatus()
			continue
		}
		if asJSON {
			_, err = fmt.Fprintf(out, `{"sandbox":%s,"record":%s,%s`+"\n", jsonText(e.Record.Name), jsonText(e.Record.ID), e.Raw[1:])
		} else {
			_, _ = out.WriteString(terminal.Escape(e.Record.Name) + "  ") // its error is the next one's
			err = event.Print(out, &e.Entry, o)
		}
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

// jsonText is s as a JSON string that is safe for a terminal.
func jsonText(s string) []byte {
	b, _ := json.Marshal(s) // a string always can be
	return terminal.EscapeJSON(nil, b)
}

// screen is how many lines a summary may have: those of the terminal, less the next prompt.
func screen(f *os.File) int {
	if _, lines, err := term.GetSize(int(f.Fd())); err == nil && lines > 12 {
		return lines - 2
	}
	return 48
}
