package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/judge/claims"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) logClaimsCommand(f *logFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "claims [NAME]",
		Short: "compare what an agent says it ran with what was executed",
		Long: `Compares the session files that Claude Code, Codex, Gemini CLI or OpenCode wrote in the sandbox NAME, or in
the newest one of this project, with the programs on record: which command lines were executed, which were not, which ended
otherwise than the agent says, and what was executed that it does not tell. What the agent says in words ("all tests
pass") is not interpreted. Exits 1 when there is a difference.
`,
		Args:              exactly(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.enter()
			if err != nil {
				return err
			}
			info, err := a.find(h, first(args))
			if err != nil {
				return err
			}
			return a.claims(h, info, f.asJSON)
		},
	}
}

// clockSlack is by how much the clock of a transcript may differ from the record's.
const clockSlack = 5 * time.Second

// programEvents are the entries with which claims are compared.
var programEvents = event.Filter{Kinds: []belljar.EventKind{belljar.EventPlan, belljar.EventExec, belljar.EventExit}}

func (a *App) claims(h *host, info event.Info, asJSON bool) error {
	fail := func(k belljar.Kind, err error, hint string) error {
		return &belljar.Error{Op: "check claims", ID: info.Name, Kind: k, Err: err, Hint: hint}
	}
	plan, err := planOf(info)
	if err != nil {
		return fail(belljar.KindInternal, err, "belljar log verify tells what is wrong with the record")
	}
	to := info.EndAt
	if to.IsZero() {
		to = time.Now()
	}
	told, files, notes, err := claims.Read(transcripts(plan, h.dirs.State), info.Time.Add(-clockSlack), to.Add(clockSlack))
	if err != nil {
		return fail(belljar.KindInternal, err, "")
	}
	told, aside, err := a.ofOthers(h, info, to, told)
	if err != nil {
		return fail(belljar.KindInternal, err, "many transcripts, of runs at the same time in one project, cannot be told apart")
	}
	rep, err := claims.Check(told, event.Read(info.Path, programEvents))
	switch {
	case errors.Is(err, claims.ErrNotSeen):
		return fail(belljar.KindNotHere, err, "claims can be checked of runs in a tier that enforces record-exec: belljar doctor shows which")
	case err != nil:
		return fail(belljar.KindInternal, err, "")
	case files == 0:
		return fail(belljar.KindNoSuch, errors.New("no transcript of a known agent was kept"),
			"sessions of Claude Code, Codex, Gemini CLI and OpenCode are kept per project when the agent is the command of the run, or its preset is given")
	}
	rep.Notes = append(append(rep.Notes, notes...), aside...)
	if rep.Faults() > 0 {
		a.status = 1
	}
	if asJSON {
		return a.printJSON(rep)
	}
	a.printClaims(&rep)
	return nil
}

// planOf is the plan on record.
func planOf(info event.Info) (*belljar.Plan, error) {
	for e, err := range event.Read(info.Path, event.Filter{Kinds: []belljar.EventKind{belljar.EventPlan}}) {
		if err != nil {
			return nil, err
		}
		return e.Plan, nil
	}
	return nil, errors.New("the record has no plan")
}

// transcripts are the folders that the run had for sessions, as its plan says: those that
// are kept per project, else those in a HOME that is kept.
func transcripts(p *belljar.Plan, state string) []claims.Dir {
	var dirs []claims.Dir
	for agent, rel := range claims.Agents() {
		at, source, below := filepath.Join(p.Identity.Home, rel), "", ""
		for _, m := range p.Mounts {
			rest, err := filepath.Rel(m.Target, at)
			if err != nil || !filepath.IsLocal(rest) || m.Kind != belljar.MountBind || m.ReadOnly || !m.Private || len(m.Target) < len(below) {
				continue
			}
			source, below = filepath.Join(m.Source, rest), m.Target
		}
		if rel, err := filepath.Rel(state, source); err == nil && filepath.IsLocal(rel) {
			dirs = append(dirs, claims.Dir{Agent: agent, Path: source})
		}
	}
	slices.SortFunc(dirs, func(a, b claims.Dir) int { return strings.Compare(a.Agent, b.Agent) })
	return dirs
}

// maxApart bounds, in entries of records, what is read and compared to tell the transcripts of
// runs apart: both sides of it are written by sandboxes.
const maxApart = 20_000_000

// wordsPerEntry is how many words are compared in the time in which one entry is.
const wordsPerEntry = 20

// apart compares transcripts one by one with records.
type apart struct {
	left   int // of maxApart
	byFile map[string][]*claims.Claim
}

// read is what a record has of programs.
func (p *apart) read(file string) (list []event.Entry, err error) {
	for e, err := range event.Read(file, programEvents) {
		if err != nil {
			return nil, err
		}
		if p.left--; p.left < 0 {
			return nil, claims.ErrBounds
		}
		list = append(list, e)
	}
	return list, nil
}

// differs says whether the transcript is not true in the run of that record.
func (p *apart) differs(transcript string, record []event.Entry) (bool, error) {
	told := p.byFile[transcript]
	if p.left -= len(record) + len(told); p.left < 0 {
		return false, claims.ErrBounds
	}
	rep, err := claims.Check(told, func(yield func(event.Entry, error) bool) {
		for _, e := range record {
			if !yield(e, nil) {
				return
			}
		}
	})
	if p.left -= rep.Work / wordsPerEntry; p.left < 0 || errors.Is(err, claims.ErrBounds) {
		return false, claims.ErrBounds
	}
	return err != nil || slices.ContainsFunc(rep.Findings, func(f claims.Finding) bool { return f.Claim != nil && f.Verdict.Fault() }), nil
}

// ofOthers leaves out the transcripts of other runs in the project at the time: those that
// are true there, and not here. Each record is read once.
func (a *App) ofOthers(h *host, info event.Info, to time.Time, told []*claims.Claim) (mine []*claims.Claim, notes []string, err error) {
	infos, err := event.List(h.dirs.State)
	if err != nil || info.Start == nil {
		return told, nil, nil
	}
	infos = slices.DeleteFunc(infos, func(o event.Info) bool {
		return o.ID == info.ID || o.Start == nil || o.Start.Workspace != info.Start.Workspace || o.Time.After(to) || !o.EndAt.IsZero() && o.EndAt.Before(info.Time)
	})
	if len(infos) == 0 {
		return told, nil, nil
	}
	p := apart{left: maxApart, byFile: map[string][]*claims.Claim{}}
	for _, c := range told {
		p.byFile[c.File] = append(p.byFile[c.File], c)
	}
	here, err := p.read(info.Path)
	if err != nil {
		return nil, nil, err
	}
	var doubtful []string
	for file := range p.byFile {
		is, err := p.differs(file, here)
		if err != nil {
			return nil, nil, err
		}
		if is {
			doubtful = append(doubtful, file)
		}
	}
	away := map[string]bool{}
	for _, o := range infos {
		if len(away) == len(doubtful) {
			break
		}
		there, err := p.read(o.Path)
		if errors.Is(err, claims.ErrBounds) {
			return nil, nil, err
		}
		if err != nil {
			continue // nothing is true in a record that cannot be read
		}
		for _, file := range doubtful {
			if away[file] {
				continue
			}
			is, err := p.differs(file, there)
			if err != nil {
				return nil, nil, err
			}
			if !is {
				away[file] = true
				notes = append(notes, fmt.Sprintf("%s is the transcript of another run in the project, %s", terminal.Escape(file), terminal.Escape(o.Name)))
			}
		}
	}
	slices.Sort(notes)
	return slices.DeleteFunc(told, func(c *claims.Claim) bool { return away[c.File] }), notes, nil
}

func (a *App) printClaims(rep *claims.Report) {
	_ = table(a.Out, "TIME\tVERDICT\tCOMMAND LINE", func(w io.Writer) {
		for i := range rep.Findings {
			f := &rep.Findings[i]
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Time.Local().Format(time.TimeOnly), f.Verdict, shortened(terminal.Escape(f.Line)))
			if f.Why != "" {
				fmt.Fprintf(w, "\t  %s\t\n", f.Why)
			}
		}
	})
	told := 0
	for i := range rep.Findings {
		if rep.Findings[i].Claim != nil {
			told++
		}
	}
	fmt.Fprintf(a.Out, "%s told, %s\n", counted(told, "command line", "command lines"), counted(rep.Faults(), "difference", "differences"))
	if len(rep.Own) > 0 {
		var own []string
		for _, o := range rep.Own {
			own = append(own, fmt.Sprintf("%s %d", terminal.Escape(o.Program), o.Count))
		}
		fmt.Fprintf(a.Out, "what agents start by themselves: %s\n", strings.Join(own, ", "))
	}
	for _, n := range rep.Notes {
		fmt.Fprintf(a.Out, "note: %s\n", n)
	}
}
