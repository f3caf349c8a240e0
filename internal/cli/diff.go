package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/spf13/cobra"
)

const whatWaits = `
With NAME, a sandbox, it is about all that waits in that sandbox's project; without,
in the project that you stand in. PATH selects what lies at or below it.
`

func (a *App) diffCommand() *cobra.Command {
	var o workspace.DiffOptions
	var asJSON bool
	c := &cobra.Command{
		Use:     "diff [NAME] [PATH…]",
		Short:   "show what waits to be applied, the dangerous first",
		GroupID: "review",
		Long:    "Shows what a sandbox changed and what has not landed on this host.\n" + whatWaits,
		RunE: func(c *cobra.Command, args []string) error {
			p, paths, err := a.project(args, false)
			if err != nil {
				return err
			}
			changes, err := p.Pending()
			if err == nil {
				changes, err = p.Select(changes, paths...)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(append([]workspace.Change{}, changes...)) // never null
			}
			o.Color = useColor(a.Out)
			return p.Diff(a.Out, changes, o)
		},
	}
	c.Flags().BoolVar(&o.Stat, "stat", false, "one line per file")
	c.Flags().BoolVar(&o.NameOnly, "name-only", false, "names only")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *App) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "apply [NAME] [PATH…]",
		Short:   "let what waits land on this host",
		GroupID: "review",
		Long: `Applies what waits, each file whole or not at all, never over an edit that was made
here meanwhile: that is a conflict, is kept and shown. Exits 1 when something could
not be applied.
` + whatWaits,
		RunE: func(c *cobra.Command, args []string) error { return a.apply(c.Context(), args) },
	}
}

func (a *App) apply(ctx context.Context, args []string) error {
	p, paths, err := a.project(args, true)
	if err != nil {
		return err
	}
	outcomes, err := p.Apply(ctx, paths...)
	for _, o := range outcomes {
		line := fmt.Sprintf("%s %s", o.Status, o.Change.Name())
		if o.Why != "" {
			line += ": " + o.Why
		}
		fmt.Fprintln(a.Out, line)
		if o.Status != workspace.Applied {
			a.status = 1
		}
	}
	if err == nil && len(outcomes) == 0 {
		a.note("nothing waits")
	}
	return err
}

func (a *App) discardCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "discard [NAME] [PATH…]",
		Short:   "throw away what waits",
		GroupID: "review",
		Long:    "Throws away what waits. What landed on this host already stays.\n" + whatWaits,
		RunE: func(c *cobra.Command, args []string) error {
			p, paths, err := a.project(args, false)
			if err != nil {
				return err
			}
			gone, err := p.Discard(c.Context(), paths...)
			for _, ch := range gone {
				fmt.Fprintln(a.Out, "discarded", ch.Name())
			}
			if err == nil && len(gone) == 0 {
				a.note("nothing waits")
			}
			return err
		},
	}
}

// project finds the project that is meant and the paths in it. A broken policy keeps
// nobody from looking at what waits, but from letting it land.
func (a *App) project(args []string, changesHost bool) (workspace.Project, []string, error) {
	none := workspace.Project{}
	h, err := a.enter()
	if err != nil {
		return none, nil, err
	}
	a.sweep(h)
	dir, named := "", false
	if len(args) > 0 {
		dir, named = workspaceOf(h, args[0])
	}
	if named {
		if _, err := os.Lstat(h.abs(args[0])); err == nil && h.cwd == dir {
			return none, nil, usage(fmt.Errorf("%s is a sandbox and a path", args[0]), "write ./"+args[0]+" for the path")
		}
		args = args[1:]
	} else {
		dir, err = plan.FindWorkspace(plan.GatherOptions{
			Env: h.env, Home: h.home, Dir: h.cwd, StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
		})
		if err != nil {
			return none, nil, err
		}
	}
	p := workspace.Project{Dir: dir, Shadow: filepath.Join(plan.ProjectDir(h.dirs.State, dir), "shadow")}
	pol, err := a.loadPolicy(h, &planFlags{}, dir, "")
	switch {
	case err == nil:
		p.Hide, p.Hold = pol.Hide(), pol.Hold()
	case changesHost:
		return none, nil, err // what the policy hides must not be removed
	}
	var paths []string
	for _, arg := range args {
		rel, err := relPath(h, dir, arg)
		if err != nil {
			return none, nil, err
		}
		paths = append(paths, rel)
	}
	return p, paths, nil
}

// workspaceOf is the project of the newest sandbox of that name.
func workspaceOf(h *host, name string) (string, bool) {
	if strings.ContainsRune(name, filepath.Separator) {
		return "", false
	}
	info, err := event.Find(h.dirs.State, name)
	if err != nil || info.Name != name || info.Start == nil {
		return "", false
	}
	return info.Start.Workspace, true
}

// relPath is a path of the command line relative to the project.
func relPath(h *host, dir, arg string) (string, error) {
	abs := h.abs(arg)
	rel, err := filepath.Rel(dir, abs)
	if err == nil && !filepath.IsLocal(rel) {
		err = errors.New("it lies outside of the project " + dir)
	}
	if err != nil {
		return "", &belljar.Error{Op: "find", ID: arg, Kind: belljar.KindUsage, Err: err, Hint: "name a sandbox (belljar log --list) or a path in the project"}
	}
	return filepath.ToSlash(rel), nil
}
