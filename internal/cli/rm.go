package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) rmCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME…",
		Short:   "remove what is kept of sandboxes that ended",
		GroupID: "run",
		Long: `Removes the kept HOME of the sandbox NAME and the output of its detached runs; it cannot be
started again. Its record stays, and so does what waits in its project (belljar discard).
A sandbox that runs is refused: belljar stop.
`,
		Args:              exactly(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeNames(false),
		RunE:              func(_ *cobra.Command, args []string) error { return a.rm(args) },
	}
}

func (a *App) rm(names []string) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	kept := h.dirs.Kept()
	var errs []error
	for _, name := range names {
		errs = append(errs, a.rmOne(h, kept, name))
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func (a *App) rmOne(h *host, kept []sandbox.Kept, name string) error {
	if e, err := a.running(h, name); err == nil {
		return &belljar.Error{Op: "remove sandbox", ID: e.Name, Kind: belljar.KindConflict, Err: errors.New("it runs"), Hint: "belljar stop " + e.Name}
	}
	name, project, err := a.rmWhich(h, kept, name)
	if err != nil {
		return err
	}
	found := false
	for _, k := range kept {
		switch k.Kind {
		case sandbox.KeptHome, sandbox.KeptSandbox:
			if k.Name != name || k.Project != project {
				continue
			}
		case sandbox.KeptOutput:
			i, err := event.Find(h.dirs.State, k.Name)
			if err != nil || i.Start == nil || i.Name != name || sandbox.ProjectKey(i.Start.Workspace) != project {
				continue
			}
		default:
			continue
		}
		found = true
		if err := h.dirs.Remove(k); err != nil {
			return err
		}
	}
	if !found {
		a.note("nothing is kept of %s but its record", terminal.Escape(name))
	}
	return nil
}

// rmWhich finds the sandbox that is meant: of several projects' the one that is stood in.
func (a *App) rmWhich(h *host, kept []sandbox.Kept, name string) (called, project string, err error) {
	if here, err := event.List(h.dirs.State); err == nil && validName(name) {
		for _, i := range slices.Backward(here) {
			if i.Name == name && i.Start != nil && within(h.cwd, i.Start.Workspace) {
				return name, sandbox.ProjectKey(i.Start.Workspace), nil
			}
		}
	}
	projects := map[string]bool{}
	for _, k := range kept {
		if k.Name == name && (k.Kind == sandbox.KeptHome || k.Kind == sandbox.KeptSandbox) {
			projects[k.Project] = true
		}
	}
	if len(projects) > 1 {
		return "", "", &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindConflict, Err: errors.New("sandboxes of several projects have that name"), Hint: "go to the project that you mean"}
	}
	if info, err := event.Find(h.dirs.State, name); err == nil && info.Start != nil {
		return info.Name, sandbox.ProjectKey(info.Start.Workspace), nil
	}
	for _, k := range kept { // its records were removed
		if k.Name == name && (k.Kind == sandbox.KeptHome || k.Kind == sandbox.KeptSandbox) {
			return name, k.Project, nil
		}
	}
	return "", "", a.noSandbox(h, name, "no sandbox of that name is on record")
}

func within(dir, top string) bool {
	rel, err := filepath.Rel(top, dir)
	return err == nil && filepath.IsLocal(rel)
}

func (a *App) pruneCommand() *cobra.Command {
	var asJSON bool
	var older string
	kinds := []string{string(sandbox.KeptHome), string(sandbox.KeptSandbox), string(sandbox.KeptCache), string(sandbox.KeptOutput), string(keptRecord)}
	c := &cobra.Command{
		Use:     "prune [homes] [sandboxes] [caches] [output] [records]",
		Short:   "show what is kept and how much it is, and remove it",
		GroupID: "run",
		Long: `Lists what sandboxes have left on disk beside what waits: HOMEs of named sandboxes, sandboxes
that belljar start starts again, caches of tools (per project), output of detached
sandboxes, records. With words, removes all of those kinds that no running sandbox uses;
with --older only what was not used so long.

Records are removed with --older only, and never one of a sandbox that runs or is kept, one
of whose changes some wait, or one that was not sent yet. belljar log verify NAME then says
that the record was removed, and where it ended.
`,
		ValidArgs: kinds,
		RunE: func(c *cobra.Command, args []string) error {
			for _, k := range args {
				if !slices.Contains(kinds, k) {
					return usage(fmt.Errorf("%q is nothing that is kept", k), "there is: "+strings.Join(kinds, ", "))
				}
			}
			var before time.Time
			if c.Flags().Changed("older") {
				t, ok := when(older, time.Now())
				if !ok || older == "" {
					return usage(fmt.Errorf("--older %q is no time", older), "write 30d, 12h or 2026-01-31")
				}
				before = t
			}
			if before.IsZero() && slices.Contains(args, string(keptRecord)) {
				return usage(errors.New("records are removed by their age"), "such as belljar prune records --older 30d")
			}
			if len(args) == 0 && !before.IsZero() {
				return usage(errors.New("--older is for what is removed"), "say which: belljar prune "+strings.Join(kinds, " ")+" --older "+older)
			}
			return a.prune(c.Context(), args, before, asJSON)
		},
	}
	c.Flags().StringVar(&older, "older", "", "remove only what was last used before `TIME`: a date, or so long ago (30d, 12h)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: what is kept, or what was removed")
	return c
}

// prune lists what is kept, or removes what of the kinds was last used before a time; the zero
// time is none.
func (a *App) prune(ctx context.Context, kinds []string, before time.Time, asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	list := append([]sandbox.Kept{}, h.dirs.Kept()...) // never null
	if len(kinds) > 0 {
		gone, err := a.removeKept(ctx, h, list, kinds, before)
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(append([]sandbox.Kept{}, gone...))
		}
		var total int64
		for _, k := range gone {
			total += k.Bytes
		}
		a.note("%d removed, %s", len(gone), size(total))
		return nil
	}
	records, err := h.keptRecords()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(append(list, records...))
	}
	if list = append(list, oneLine(records)...); len(list) == 0 {
		a.note("nothing is kept")
		return nil
	}
	return a.printKept(h, list)
}

// removeKept removes what of the kinds was last used before a time, if there is one.
func (a *App) removeKept(ctx context.Context, h *host, list []sandbox.Kept, kinds []string, before time.Time) (gone []sandbox.Kept, err error) {
	for _, k := range list {
		if !slices.Contains(kinds, string(k.Kind)) || !before.IsZero() && !k.Used.Before(before) {
			continue
		}
		err := h.dirs.Remove(k)
		if belljar.KindOf(err) == belljar.KindConflict && err != nil {
			a.note("%s", terminal.Escape(err.Error()))
			continue
		}
		if err != nil {
			return gone, err
		}
		gone = append(gone, k)
	}
	if !slices.Contains(kinds, string(keptRecord)) {
		return gone, nil
	}
	records, err := a.pruneRecords(ctx, h, before) // last: who is kept no more needs none
	return append(gone, records...), err
}

// keptSize is what k takes, as far as it can be counted.
func keptSize(k sandbox.Kept) string {
	if k.AtLeast {
		return "over " + size(k.Bytes)
	}
	return size(k.Bytes)
}

func (a *App) printKept(h *host, list []sandbox.Kept) error {
	records, _ := event.List(h.dirs.State) // without them projects have no names
	projects, names := map[string]string{}, map[string]string{}
	for _, i := range records {
		if i.Start != nil {
			projects[sandbox.ProjectKey(i.Start.Workspace)], names[i.ID] = i.Start.Workspace, i.Name
		}
	}
	var total int64
	err := table(a.Out, "KIND\tNAME\tPROJECT\tSIZE\tUSED", func(w io.Writer) {
		for _, k := range list {
			name, project := k.Name, projects[k.Project]
			if n := names[name]; n != "" {
				name = n
			}
			if project == "" {
				project = k.Project
			}
			total += k.Bytes
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s ago\n", k.Kind, terminal.Escape(name), terminal.Escape(project), keptSize(k), age(time.Since(k.Used)))
		}
	})
	a.note("%s in all", size(total))
	return err
}
