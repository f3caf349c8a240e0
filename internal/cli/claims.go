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
		Long: `Compares the session files that Claude Code or Codex wrote in the sandbox NAME, or in the newest
one of this project, with the programs on record: which command lines were executed, which were not, which ended
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
	told, aside := a.ofOthers(h, info, to, told)
	rep, err := claims.Check(told, event.Read(info.Path, event.Filter{Kinds: []belljar.EventKind{belljar.EventPlan, belljar.EventExec, belljar.EventExit}}))
	switch {
	case errors.Is(err, claims.ErrNotSeen):
		return fail(belljar.KindNotHere, err, "claims can be checked of runs in a tier that enforces record-exec: belljar doctor shows which")
	case err != nil:
		return fail(belljar.KindInternal, err, "")
	case files == 0:
		return fail(belljar.KindNoSuch, errors.New("no transcript of a known agent was kept"),
			"sessions of Claude Code and Codex are kept per project when the agent is the command of the run, or its preset is given")
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

// ofOthers leaves out the transcripts of other runs in the project at the time: those that
// are true there, and not here.
func (a *App) ofOthers(h *host, info event.Info, to time.Time, told []*claims.Claim) (mine []*claims.Claim, notes []string) {
	infos, err := event.List(h.dirs.State)
	if err != nil || info.Start == nil {
		return told, nil
	}
	differs := func(list []*claims.Claim, file string) bool {
		rep, err := claims.Check(list, event.Read(file, event.Filter{}))
		return err != nil || slices.ContainsFunc(rep.Findings, func(f claims.Finding) bool { return f.Claim != nil && f.Verdict.Fault() })
	}
	for _, o := range infos {
		if o.ID == info.ID || o.Start == nil || o.Start.Workspace != info.Start.Workspace || o.Time.After(to) || !o.EndAt.IsZero() && o.EndAt.Before(info.Time) {
			continue
		}
		byFile := map[string][]*claims.Claim{}
		for _, c := range told {
			byFile[c.File] = append(byFile[c.File], c)
		}
		for file, list := range byFile {
			if !differs(list, info.Path) || differs(list, o.Path) {
				continue
			}
			told = slices.DeleteFunc(told, func(c *claims.Claim) bool { return c.File == file })
			notes = append(notes, fmt.Sprintf("%s is the transcript of another run in the project, %s", terminal.Escape(file), terminal.Escape(o.Name)))
		}
	}
	slices.Sort(notes)
	return told, notes
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
