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
	kinds := []string{string(sandbox.KeptHome), string(sandbox.KeptSandbox), string(sandbox.KeptCache), string(sandbox.KeptOutput)}
	c := &cobra.Command{
		Use:     "prune [homes] [sandboxes] [caches] [output]",
		Short:   "show what is kept and how much it is, and remove it",
		GroupID: "run",
		Long: `Lists what sandboxes have left on disk beside their records and what waits: HOMEs of
named sandboxes, sandboxes that belljar start starts again, caches of tools (per project),
output of detached sandboxes. With words, removes all of those kinds that no running
sandbox uses.
`,
		ValidArgs: kinds,
		RunE: func(c *cobra.Command, args []string) error {
			for _, k := range args {
				if !slices.Contains(kinds, k) {
					return usage(fmt.Errorf("%q is nothing that is kept", k), "there is: "+strings.Join(kinds, ", "))
				}
			}
			return a.prune(args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: what is kept, or what was removed")
	return c
}

func (a *App) prune(kinds []string, asJSON bool) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	list := append([]sandbox.Kept{}, h.dirs.Kept()...) // never null
	var total int64
	if len(kinds) > 0 {
		var gone []sandbox.Kept
		for _, k := range list {
			if !slices.Contains(kinds, string(k.Kind)) {
				continue
			}
			err := h.dirs.Remove(k)
			if belljar.KindOf(err) == belljar.KindConflict && err != nil {
				a.note("%s", terminal.Escape(err.Error()))
				continue
			}
			if err != nil {
				return err
			}
			gone, total = append(gone, k), total+k.Bytes
		}
		if asJSON {
			return a.printJSON(append([]sandbox.Kept{}, gone...))
		}
		a.note("%d removed, %s", len(gone), size(total))
		return nil
	}
	if asJSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.note("nothing is kept")
		return nil
	}
	return a.printKept(h, list)
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
