package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/rootid"
	"github.com/belljar-dev/belljar/policy"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/spf13/cobra"
)

func (a *App) startCommand() *cobra.Command {
	var detach, noTTY bool
	c := &cobra.Command{
		Use:     "start [flags] NAME [--] [COMMAND…]",
		Short:   "start a kept sandbox again",
		GroupID: "run",
		Long: `Starts the sandbox NAME again, which run --keep made: with its HOME, the same flags, from
the same folder, and the command that it had, or COMMAND this once. Policies, files and
variables are looked at as run does: what changed on this host since holds, and what has
become wider is said in a line.
` + exitStatus,
		Example: "  belljar run --keep --name mine --detach claude\n  belljar stop mine\n  belljar start --detach mine",
		Args:    exactly(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if at := c.ArgsLenAtDash(); at != 1 && len(args) > 1 {
				return usage(fmt.Errorf("%s: unexpected %q", c.CommandPath(), args[1]), "COMMAND comes behind --: belljar start "+args[0]+" -- "+strings.Join(args[1:], " "))
			}
			f := planFlags{detach: detach, noTTY: noTTY}
			argv, err := a.again(&f, args[0])
			if err != nil {
				return err
			}
			if len(args) > 1 {
				f.once, argv = true, args[1:]
			}
			return a.runOrDetach(c.Context(), &f, argv)
		},
	}
	c.Flags().BoolVar(&detach, "detach", false, "start it in the background, print its name")
	c.Flags().BoolVar(&noTTY, "no-tty", false, "with --detach: give the command no terminal, and no input")
	c.ValidArgsFunction = a.completeKept
	return c
}

// keptDirs are belljar's folders before [App.enter]: what a kept sandbox needs of the host
// says which folders that maps for root.
func keptDirs() (sandbox.Dirs, error) {
	h := &host{env: rootid.Environ()}
	if os.Geteuid() == 0 || rootid.StartedAsRoot() {
		return sandbox.Dirs{State: rootid.StateDir, Runtime: rootid.RuntimeDir}, nil
	}
	return sandbox.FindDirs(h.getenv, h.getenv("HOME"))
}

// again makes f what the user said who kept the sandbox name, stands where they stood, and
// returns the command.
func (a *App) again(f *planFlags, name string) ([]string, error) {
	fail := func(kind belljar.Kind, err error, hint string) error {
		return &belljar.Error{Op: "start sandbox", ID: name, Kind: kind, Err: err, Hint: hint}
	}
	dirs, err := keptDirs()
	if err != nil {
		return nil, err
	}
	all, err := dirs.Recipes()
	if err != nil {
		a.note("what a sandbox is started from cannot be read: %s", terminal.Escape(err.Error()))
	}
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "/"
	}
	r, err := pickRecipe(all, name, cwd)
	if err != nil {
		return nil, err
	}
	c := &cobra.Command{Use: "run"}
	f.add(c)
	if err := c.ParseFlags(r.Flags); err != nil {
		return nil, fail(belljar.KindUsage, fmt.Errorf("this belljar does not know how it was kept: %w", err), "keep it again: belljar run --keep --name "+name+" … COMMAND; its HOME stays")
	}
	if err := os.Chdir(r.Dir); err != nil {
		return nil, fail(belljar.KindUsage, fmt.Errorf("the folder that it is started in: %w", err), "make it again, or keep the sandbox from another one: belljar run --keep --name "+name+" … COMMAND")
	}
	if err := os.Setenv("PWD", r.Dir); err != nil {
		return nil, fail(belljar.KindInternal, err, "")
	}
	f.name, f.workspace, f.keep, f.words, f.before = r.Name, r.Workspace, true, r.Flags, &r
	return r.Argv, nil
}

// pickRecipe finds the kept sandbox that is meant: of several the one whose project is
// stood in.
func pickRecipe(all []sandbox.Recipe, name, cwd string) (sandbox.Recipe, error) {
	var named, here []sandbox.Recipe
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
		if r.Name != name {
			continue
		}
		named = append(named, r)
		if within(cwd, r.Workspace) {
			here = append(here, r)
		}
	}
	switch {
	case len(here) == 1:
		return here[0], nil
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return sandbox.Recipe{}, &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindConflict, Err: errors.New("several of that name are kept"), Hint: "go to the project that you mean"}
	}
	hint := "belljar run --keep --name " + name + " COMMAND makes one"
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + terminal.Escape(near) + "? " + hint
	}
	return sandbox.Recipe{}, &belljar.Error{Op: "find sandbox", ID: name, Kind: belljar.KindNoSuch, Err: errors.New("no sandbox of that name is kept"), Hint: hint}
}

// recipe is what the sandbox is started from again. It says what is wider than before.
func (a *App) recipe(h *host, f *planFlags, p *prepared, args []string) (*sandbox.Recipe, error) {
	ws := p.plan.Workspace.Dir
	now, err := p.policy.YAML()
	if err != nil {
		return nil, err
	}
	r := &sandbox.Recipe{Name: p.plan.Name, Workspace: ws, Dir: h.cwd, Flags: f.words, Argv: args, Policy: string(now), Made: time.Now()}
	if f.detach && f.Mode != "" { // nobody watched: that stays so when somebody does
		r.Flags = append(r.Flags[:len(r.Flags):len(r.Flags)], "--mode="+f.Mode)
	}
	if f.policyFile != "" {
		if r.PolicyHash, err = keptPolicy(h.abs(f.policyFile), ws, p.policy); err != nil {
			return nil, err
		}
	}
	before := f.before
	if before == nil {
		return r, nil
	}
	if before.Workspace != ws {
		return nil, &belljar.Error{Op: "start sandbox", ID: r.Name, Kind: belljar.KindConflict, Err: fmt.Errorf("its project %s leads to %s now", before.Workspace, ws), Hint: "keep it anew there: belljar run --keep"}
	}
	if r.PolicyHash != before.PolicyHash {
		a.note("%s is not what it was at the last start", terminal.Escape(f.policyFile))
	}
	a.noteWider(h, before.Policy, r.Policy)
	r.Again, r.Made = true, before.Made
	if f.once {
		r.Argv, r.Flags, r.Policy = before.Argv, before.Flags, before.Policy
	}
	return r, nil
}

// keptPolicy is the hash of the file of --policy, which nothing inside may be able to write:
// the sandbox is started by it again.
func keptPolicy(file, workspace string, p *policy.Policy) (string, error) {
	refuse := func(why, hint string) error {
		return &belljar.Error{Op: "keep a sandbox by the policy", ID: file, Kind: belljar.KindRefused, Err: errors.New(why), Hint: hint}
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", &belljar.Error{Op: "keep a sandbox by the policy", ID: file, Kind: belljar.KindUsage, Err: err}
	}
	if real != file {
		return "", refuse("a link leads to it, and whoever starts the sandbox again may find another one", "name the file itself: --policy "+real)
	}
	writable := []string{workspace}
	for _, w := range p.Write() {
		writable = append(writable, w.Path)
	}
	for _, w := range writable {
		if within(real, w) {
			return "", refuse("what runs inside may write it, and the sandbox is started by it again", "move it out of "+w+", for example below ~/.config/belljar")
		}
	}
	f, err := os.Open(real)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// maxWider is how many changes are told.
const maxWider = 5

// noteWider says what the policy now allows that it did not allow before.
func (a *App) noteWider(h *host, before, now string) {
	changes, err := a.policyChanges(h, before, now)
	if err != nil {
		a.note("what is wider than at the last start cannot be told: %s", terminal.Escape(err.Error()))
		return
	}
	var wider []string
	for _, c := range changes {
		if c.Possible {
			wider = append(wider, strings.TrimPrefix(c.String(), "+ "))
		}
	}
	if len(wider) == 0 {
		return
	}
	more := ""
	if n := len(wider) - maxWider; n > 0 {
		wider, more = wider[:maxWider], fmt.Sprintf("; and %d more", n)
	}
	a.note("wider than at the last start: %s%s", terminal.Escape(strings.Join(wider, "; ")), more)
}

// policyChanges compares two merged policies.
func (a *App) policyChanges(h *host, before, now string) ([]policy.Change, error) {
	if before == now {
		return nil, nil
	}
	dir, err := os.MkdirTemp(h.dirs.Runtime, "policies-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var both []*policy.Policy
	for i, text := range []string{before, now} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p, err := a.loadFile(h, file)
		if err != nil {
			return nil, err
		}
		both = append(both, p)
	}
	return policy.Diff(both[0], both[1]), nil
}

// completeKept offers the kept sandboxes.
func (a *App) completeKept(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dirs, err := keptDirs()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := dirs.Recipes() // none is no completion
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	return offer(names...)(c, args, word)
}
