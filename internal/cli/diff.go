package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/event"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/spf13/cobra"
)

const whatWaits = `
With NAME, a sandbox, it is about all that waits in that sandbox's project; without,
in the project that you stand in. PATH selects what lies at or below it.
`

func (a *App) diffCommand() *cobra.Command {
	var o workspace.DiffOptions
	var asJSON, landed bool
	c := &cobra.Command{
		Use:     "diff [NAME] [PATH…]",
		Short:   "show what waits to be applied, the dangerous first",
		GroupID: "review",
		Long: `Shows what a sandbox changed and what has not landed on this host: first what runs by
itself here, then what else to look at, with the reason (packages of a lock file that
come from elsewhere, new executables, links that lead out, characters that are not seen
or reorder text), then what you run, then all others.

With --landed it lists instead what the last run let land by itself, in mode live and by
workspace.pass, and what of that undo could not take back.
` + whatWaits,
		Example:           "  belljar diff --stat\n  belljar diff .git/hooks\n  belljar diff mine src",
		ValidArgsFunction: a.completeNames(true),
		RunE: func(c *cobra.Command, args []string) error {
			if landed {
				return a.diffLanded(c.Context(), args, o, asJSON)
			}
			return a.diff(c.Context(), args, o, asJSON)
		},
	}
	c.Flags().BoolVar(&o.Stat, "stat", false, "one line per file")
	c.Flags().BoolVar(&o.NameOnly, "name-only", false, "names only")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&landed, "landed", false, "names of what the last run let land by itself")
	return c
}

// diffLanded lists what the last run changed here by itself, one line each.
func (a *App) diffLanded(ctx context.Context, args []string, o workspace.DiffOptions, asJSON bool) error {
	t, err := a.target(ctx, args, false)
	if err != nil {
		return err
	}
	r, err := t.LastRun()
	if err != nil {
		return err
	}
	changes := []workspace.Change{} // never null
	if r != nil {
		changes = append(append(changes, r.Changes...), r.Lost...)
		if r.Cut {
			a.note("the run changed more places than are written down: not all are listed")
		}
	}
	if changes, err = t.Select(changes, t.paths...); err != nil {
		return t.explain(err)
	}
	switch {
	case asJSON:
		return a.printJSON(changes)
	case len(changes) == 0:
		a.note("nothing landed by itself")
	}
	for _, c := range changes {
		if o.NameOnly {
			fmt.Fprintln(a.Out, c.Name())
			continue
		}
		line := fmt.Sprintf("%s %s", c.Op, c.Name())
		if c.Conflict != "" {
			line += ": undo leaves it: " + terminal.Escape(c.Conflict)
		}
		fmt.Fprintln(a.Out, line)
	}
	return nil
}

func (a *App) diff(ctx context.Context, args []string, o workspace.DiffOptions, asJSON bool) error {
	if done, err := a.diffWorktree(ctx, args, o, asJSON); done || err != nil {
		return err
	}
	t, err := a.target(ctx, args, false)
	if err != nil {
		return err
	}
	changes, err := t.Pending()
	if err == nil {
		changes, err = t.Select(changes, t.paths...)
	}
	if err == nil {
		changes, err = t.Assess(changes)
	}
	if err != nil {
		return t.explain(err)
	}
	if asJSON {
		return a.printJSON(append([]workspace.Change{}, changes...)) // never null
	}
	if len(changes) == 0 {
		a.note("nothing waits")
	}
	o.Color = useColor(a.Out)
	return errors.Join(t.Diff(a.Out, changes, o), a.listLanded(t, o))
}

// listLanded lists what the last run let land by itself in mode review.
func (a *App) listLanded(t *target, o workspace.DiffOptions) error {
	r, err := t.LastRun()
	if err != nil || r == nil || r.Live || o.NameOnly || len(r.Changes) == 0 {
		return err
	}
	fmt.Fprintln(a.Out, "\nlanded by itself in the last run, by workspace.pass; belljar undo takes it back:")
	for _, c := range r.Changes {
		fmt.Fprintf(a.Out, "  %s %s\n", c.Op, c.Name())
	}
	return nil
}

func (a *App) applyCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:     "apply [NAME] [PATH…]",
		Short:   "let what waits land on this host",
		GroupID: "review",
		Long: `Applies what waits, each file whole or not at all. Where you edited the same file here
meanwhile, in other lines, both are merged; where that cannot be done it is a conflict,
is kept and shown: your edit is never overwritten. belljar undo takes an apply back.
Exits 1 when something could not be applied. Refused while a sandbox runs in the project: what a program inside has
open would go on in a copy that is nobody's any more.
` + whatWaits,
		ValidArgsFunction: a.completeNames(true),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.patch && o.json:
				return usage(errors.New("--patch asks on standard output, where --json prints"), usageLine(c))
			case o.message != "" && !o.commit:
				return usage(errors.New("--message is that of a commit"), "add --commit")
			}
			return a.apply(c.Context(), args, o)
		},
	}
	c.Flags().BoolVar(&o.json, "json", false, "print JSON: what became of each change")
	c.Flags().BoolVarP(&o.patch, "patch", "p", false, "ask hunk by hunk, the dangerous first")
	c.Flags().BoolVar(&o.commit, "commit", false, "commit what was applied, with the agent as co-author; no hook runs")
	c.Flags().StringVarP(&o.message, "message", "m", "", "the commit's message `TEXT`")
	return c
}

// applyOptions are the flags of apply.
type applyOptions struct {
	json, patch, commit bool
	message             string
}

func (a *App) apply(ctx context.Context, args []string, o applyOptions) error {
	t, err := a.target(ctx, args, true)
	if err != nil {
		return err
	}
	var with workspace.CommitOptions
	if o.commit {
		if with, err = a.commitOptions(t, o.message); err != nil {
			return err
		}
	}
	var outcomes []workspace.Outcome
	if o.patch {
		outcomes, err = a.applyHunks(ctx, t)
	} else {
		outcomes, err = t.Apply(ctx, t.paths...)
	}
	for _, o := range outcomes {
		if o.Status != workspace.Applied {
			a.status = 1
		}
	}
	outcomes = append([]workspace.Outcome{}, outcomes...) // never null
	if !o.json {
		a.printApplied(outcomes, err == nil && !o.patch)
	}
	if !o.commit {
		if o.json {
			return errors.Join(t.explain(err), a.printJSON(outcomes))
		}
		return t.explain(err)
	}
	done, commitErr := t.Commit(outcomes, with)
	err = errors.Join(t.explain(err), commitErr)
	if o.json {
		return errors.Join(err, a.printJSON(map[string]any{"outcomes": outcomes, "commit": done}))
	}
	a.printCommit(done, commitErr == nil)
	return err
}

func (a *App) printApplied(outcomes []workspace.Outcome, whole bool) {
	for _, o := range outcomes {
		fmt.Fprintln(a.Out, outcomeLine(o))
	}
	if slices.ContainsFunc(outcomes, func(o workspace.Outcome) bool { return o.Status == workspace.Conflicted }) {
		fmt.Fprintln(a.Err, "belljar: hint: a conflict is kept as it is: take over by hand what belljar diff shows, then belljar discard PATH")
	}
	if whole && len(outcomes) == 0 {
		a.note("nothing waits")
	}
}

func (a *App) discardCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:               "discard [NAME] [PATH…]",
		Short:             "throw away what waits",
		GroupID:           "review",
		Long:              "Throws away what waits. What landed on this host already stays.\n" + whatWaits,
		ValidArgsFunction: a.completeNames(true),
		RunE: func(c *cobra.Command, args []string) error {
			return a.discard(c.Context(), args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: what was thrown away")
	return c
}

func (a *App) discard(ctx context.Context, args []string, asJSON bool) error {
	if done, err := a.discardWorktree(args, asJSON); done || err != nil {
		return err
	}
	t, err := a.target(ctx, args, false)
	if err != nil {
		return err
	}
	t.host.clearPools(ctx, t.Dir)
	gone, err := t.Discard(ctx, t.paths...)
	if asJSON {
		return errors.Join(t.explain(err), a.printJSON(append([]workspace.Change{}, gone...))) // never null
	}
	for _, ch := range gone {
		fmt.Fprintln(a.Out, "discarded", ch.Name())
	}
	if err == nil && len(gone) > 0 {
		a.hintRemoved(t)
	}
	if err == nil && len(gone) == 0 {
		a.note("nothing waits")
	}
	return t.explain(err)
}

// hintRemoved says that what the last run removed here may have been what was thrown
// away: a file that left a folder that passes is gone from it, and waits where it went.
func (a *App) hintRemoved(t *target) {
	r, err := t.LastRun()
	if err != nil || r == nil {
		return // it is a hint
	}
	n := 0
	for _, c := range r.Changes {
		if c.Op == workspace.OpDelete && c.Conflict == "" {
			n++
		}
	}
	if n > 0 {
		fmt.Fprintf(a.Err, "belljar: hint: the last run removed files here by itself, or moved them (%d): belljar undo brings them back, belljar diff --landed lists them\n", n)
	}
}

// A target is what a command about waiting changes is about.
type target struct {
	workspace.Project
	paths []string
	name  string // of the sandbox that was named; empty without
	// notFound is the error for a first word that names neither a sandbox nor a file
	// of the host; nil otherwise. It may still be a file that only the shadow has.
	notFound error
	host     *host
	// recovered is what was taken back of an apply that was killed.
	recovered []workspace.Outcome
}

// explain is err, or what was more likely meant.
func (t *target) explain(err error) error {
	if belljar.KindOf(err) == belljar.KindUsage && t.notFound != nil {
		return t.notFound
	}
	return err
}

// target finds the project that is meant and the paths in it. A broken policy keeps
// nobody from looking at what waits, but from letting it land.
func (a *App) target(ctx context.Context, args []string, changesHost bool) (*target, error) {
	h, err := a.enter()
	if err != nil {
		return nil, err
	}
	a.sweep(h)
	t := &target{}
	dir, named := "", false
	if len(args) > 0 {
		dir, named = workspaceOf(h, args[0])
		_, err := os.Lstat(h.abs(args[0]))
		if named && err == nil && h.cwd == dir {
			return nil, usage(fmt.Errorf("%s is a sandbox and a path", args[0]), "write ./"+args[0]+" for the path")
		}
		if !named && err != nil && validName(args[0]) {
			t.notFound = a.noSandbox(h, args[0], "no sandbox has that name, and nothing waits at such a path here")
		}
	}
	if named {
		t.name = args[0]
		args = args[1:]
		if err := reachable(dir); err != nil {
			return nil, err
		}
	} else {
		dir, err = plan.FindWorkspace(plan.GatherOptions{
			Env: h.env, Home: h.home, Dir: h.cwd, StateDir: h.dirs.State, RuntimeDir: h.dirs.Runtime, ConfigDir: h.dirs.Config, Identity: h.identity(),
		})
		if err != nil {
			return nil, t.explain(err)
		}
	}
	t.host = h
	t.Project = workspace.Project{Dir: dir, Shadow: filepath.Join(plan.ProjectDir(h.dirs.State, dir), "shadow"), Progress: a.progress()}
	pol, err := a.loadPolicy(h, &planFlags{}, dir, "")
	switch {
	case err == nil:
		t.Hide, t.Hold = pol.Hide(), pol.Hold()
	case changesHost:
		return nil, err // what the policy hides must not be removed
	}
	if err := t.discover(); err != nil && changesHost {
		return nil, err // likewise what a link of a hidden name leads to
	}
	if changesHost {
		h.clearPools(ctx, dir)
	}
	if err := a.recover(t); err != nil && changesHost {
		return nil, err
	}
	for _, arg := range args {
		rel, err := relPath(h, dir, arg)
		if err != nil {
			return nil, err
		}
		t.paths = append(t.paths, rel)
	}
	return t, nil
}

// discover adds what the host reaches through a held or hidden name, as a run does.
func (t *target) discover() error {
	found, err := rules.Discover(rules.DiscoverOptions{Dir: t.Dir, Home: t.host.home, GlobalConfigs: t.host.gitConfigs()})
	if err != nil {
		return &belljar.Error{Op: "look for links to protected files", ID: t.Dir, Kind: belljar.KindInternal, Err: err}
	}
	t.Hide, t.Hold = slices.Concat(t.Hide, found.Hide), slices.Concat(t.Hold, found.Hold)
	return nil
}

// reachable says why the project dir of a record cannot be worked on.
func reachable(dir string) error {
	f, err := os.Open(dir)
	e := &belljar.Error{Op: "open the project", ID: dir, Kind: belljar.KindUsage}
	switch {
	case errors.Is(err, os.ErrPermission):
		// Of root, the sandbox identity reaches the home and the folder that root stands in.
		e.Err, e.Hint = errors.New("it cannot be reached from here"), "change into it: cd "+dir
	case err != nil:
		e.Err = err
	default:
		return f.Close()
	}
	return e
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
