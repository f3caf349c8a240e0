package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/worktree"
	"github.com/spf13/cobra"
)

// mergeFlags are the flags of belljar merge.
type mergeFlags struct {
	noMerge, risky, asJSON bool
}

func (a *App) mergeCommand() *cobra.Command {
	var f mergeFlags
	c := &cobra.Command{
		Use:     "merge NAME…",
		Short:   "bring branches of sandboxes home and merge them",
		GroupID: "review",
		Long: `Brings the branch of each sandbox that ran with --mode worktree home, as belljar/NAME,
and merges it into the branch that is checked out, one after the other. What was
made inside is checked as git checks what it fetches from a stranger; no hook, filter
or other program runs.

Conflicts are shown and nothing is changed: the branch is here then, and git merge
belljar/NAME merges it by hand. Files that you have changed and not committed are
never overwritten. Files that would run by themselves, that lead out of the project
or that are hidden from sandboxes are listed, and land only with --risky.

Exits 1 when something could not be merged, 126 when it needs --risky.
`,
		Example:           "  belljar merge fix-a fix-b\n  belljar merge --no-merge fix-a && git log belljar/fix-a",
		ValidArgsFunction: a.completeNames(false),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(errors.New("no sandbox to merge"), usageLine(c))
			}
			return a.merge(c.Context(), args, f)
		},
	}
	c.Flags().BoolVar(&f.noMerge, "no-merge", false, "bring the branches home and merge nothing")
	c.Flags().BoolVar(&f.risky, "risky", false, "let files land that run by themselves, lead elsewhere or are hidden from sandboxes")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON: what became of each branch")
	return c
}

// A mergeOutcome is what became of one branch.
type mergeOutcome struct {
	Name    string           `json:"name"`
	Branch  string           `json:"branch"`
	Commit  string           `json:"commit,omitempty"` // of the branch, at home
	Commits int              `json:"commits"`          // that are new here
	Merge   *worktree.Merged `json:"merge,omitempty"`
	Error   string           `json:"error,omitempty"`
}

func (a *App) merge(ctx context.Context, names []string, f mergeFlags) error {
	h, err := a.enter()
	if err != nil {
		return err
	}
	a.sweep(h)
	var trees []*ownTree
	for _, n := range names {
		t, err := a.worktreeOf(h, n)
		if err == nil && t == nil {
			err = &belljar.Error{Op: "find the worktree of", ID: n, Kind: belljar.KindNoSuch, Err: errors.New("no sandbox of that name has one in this project"), Hint: a.worktreesHere(h)}
		}
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	var all []mergeOutcome
	var errs []error
	for _, t := range trees {
		out, err := a.mergeOne(ctx, t, f)
		if err != nil {
			hint := "nothing of it is in your work tree; belljar diff " + t.info.Name + " shows it"
			if errors.Is(err, worktree.ErrHalf) {
				hint = "mend the cause; then belljar merge " + t.info.Name + " completes it, or git checkout takes the files back"
			}
			err = &belljar.Error{Op: "merge", ID: t.info.Name, Err: err, Hint: hint}
			out.Error = err.Error()
			errs = append(errs, err)
		}
		all = append(all, out)
	}
	if f.asJSON {
		errs = append(errs, a.printJSON(all))
	}
	return errors.Join(errs...)
}

func (a *App) worktreesHere(h *host) string {
	if project, err := plan.FindWorkspace(h.gatherOptions()); err == nil {
		return worktreeNames(h, project)
	}
	return ""
}

// judgeOf are the rules of the project, by which what comes home is judged: those of
// the policy, and what follows from the project and its repository as the user has
// them now (what was merged before may have changed it).
func (a *App) judgeOf(h *host, t *ownTree) (*rules.Rules, error) {
	pol, err := a.loadPolicy(h, &planFlags{}, t.source.Project, "")
	if err != nil {
		return nil, err
	}
	found, err := h.discover(t.source.Project)
	if err != nil {
		return nil, err
	}
	for _, n := range found.Notes {
		a.note("%s", terminal.Escape(n))
	}
	return rules.New(rules.Options{Hide: addPatterns(pol.Hide(), found.Hide), Hold: addPatterns(pol.Hold(), found.Hold), Mode: belljar.ModeWorktree})
}

func (a *App) mergeOne(ctx context.Context, t *ownTree, f mergeFlags) (mergeOutcome, error) {
	out := mergeOutcome{Name: t.info.Name, Branch: t.info.Branch}
	judge, err := a.judgeOf(t.h, t)
	if err != nil {
		return out, err
	}
	got, err := worktree.Fetch(ctx, t.source, t.dir)
	if err != nil {
		return out, err
	}
	out.Commit, out.Commits = hex.EncodeToString([]byte(got.New)), got.Commits
	say := func(format string, v ...any) {
		if !f.asJSON {
			fmt.Fprintf(a.Out, format+"\n", v...)
		}
	}
	if got.Old == got.New {
		say("%s: %s is home already", t.info.Name, t.info.Branch)
	} else {
		say("%s: brought home as %s, %s", t.info.Name, t.info.Branch, several(got.Commits, "new commit"))
	}
	a.noteUncommitted(ctx, t, judge)
	if f.noMerge {
		return out, nil
	}
	out.Merge, err = worktree.Merge(ctx, worktree.MergeOptions{Source: t.source, Info: t.info, Who: t.who, Rules: judge, Risky: f.risky})
	if err != nil {
		return out, err
	}
	a.tellMerge(t, out.Merge, f.risky, say)
	return out, nil
}

// tellMerge prints what became of a merge, the risky files first.
func (a *App) tellMerge(t *ownTree, m *worktree.Merged, consent bool, say func(string, ...any)) {
	for _, c := range m.Changes {
		if c.Class != "" && c.Class != rules.GitData || c.Risky {
			say("  %s %s (%s)", c.Op, escaped(c.Path), terminal.Escape(c.Reason))
		}
	}
	into := terminal.Escape(m.Into)
	if into == "" {
		into = "HEAD"
	}
	// A merge by hand asks nothing: it is not proposed for what needs consent.
	unsafe := !consent && slices.ContainsFunc(m.Changes, func(c worktree.Change) bool { return c.Risky })
	if unsafe && m.Commit == "" {
		a.status = max(a.status, belljar.KindRefused.ExitStatus())
	}
	look := "look at the files that run by themselves, lead elsewhere or are hidden with belljar diff " + t.info.Name + "; "
	switch {
	case len(m.Conflicts) > 0:
		a.status = max(a.status, 1)
		say("%s: not merged into %s, nothing was changed: both sides changed", t.info.Name, into)
		for _, c := range m.Conflicts {
			say("  conflict %s: %s", escaped(c.Path), terminal.Escape(c.Why))
		}
		for _, c := range m.Conflicts {
			if len(c.Text) > 0 {
				say("--- %s", escaped(c.Path))
				say("%s", terminal.EscapeText(strings.TrimSuffix(around(c.Text), "\n")))
			}
		}
		if unsafe {
			a.hint(look + "belljar merge --risky " + t.info.Name + " says how to merge them by hand")
		} else {
			a.hint("git merge " + t.info.Branch + " merges it by hand")
		}
	case m.Blocked != "":
		a.status = max(a.status, 1)
		hint := "commit or stash what you have changed here, or merge by hand: git merge " + t.info.Branch
		if unsafe {
			hint = look + "belljar merge --risky " + t.info.Name + " lets them land"
		}
		say("%s: not merged into %s, nothing was changed: %s", t.info.Name, into, terminal.Escape(m.Blocked))
		a.hint(hint)
	case m.UpToDate:
		say("%s: %s has it already", t.info.Name, into)
	default:
		how := "merged"
		if m.FastForward {
			how = "fast-forward"
		}
		say("%s: %s into %s, %s, now %s", t.info.Name, how, into, several(len(m.Changes), "file"), m.Commit[:12])
	}
}

func (a *App) hint(text string) { fmt.Fprintf(a.Err, "belljar: hint: %s\n", terminal.Escape(text)) }

// escaped is a name from inside, safe to print.
func escaped(name string) string { return workspace.Quote(name) }

// around is what of a text with conflicts is worth showing: each with a few lines.
func around(text []byte) string {
	const context, most = 3, 200
	lines := strings.SplitAfter(string(text), "\n")
	keep := make([]bool, len(lines))
	in := false
	for i, l := range lines {
		start := strings.HasPrefix(l, "<<<<<<< ")
		if start || in || strings.HasPrefix(l, ">>>>>>> ") {
			for k := max(0, i-context); k < min(len(lines), i+context+1); k++ {
				keep[k] = true
			}
		}
		in = (in || start) && !strings.HasPrefix(l, ">>>>>>> ")
	}
	var b strings.Builder
	n, gap := 0, false
	for i, l := range lines {
		if !keep[i] {
			gap = true
			continue
		}
		if n++; n > most {
			b.WriteString("…\n")
			break
		}
		if gap && b.Len() > 0 {
			b.WriteString("…\n")
		}
		gap = false
		b.WriteString(l)
	}
	return b.String()
}

// noteUncommitted tells what is in the worktree and on no branch: a merge does not
// bring it.
func (a *App) noteUncommitted(ctx context.Context, t *ownTree, judge *rules.Rules) {
	const limit = 100
	names, err := worktree.Uncommitted(ctx, t.source, t.dir, judge, limit)
	if err != nil {
		a.note("what is not committed in the worktree of %s could not be listed: %s", t.info.Name, terminal.Escape(err.Error()))
		return
	}
	if len(names) == 0 {
		return
	}
	const shown = 3
	var list []string
	for _, n := range names[:min(len(names), shown)] {
		list = append(list, escaped(n))
	}
	more := ""
	if len(names) > shown {
		more = ", …"
	}
	count := several(len(names), "file")
	if len(names) == limit {
		count += " or more"
	}
	a.note("%s: not committed inside: %s: %s%s", t.info.Name, count, strings.Join(list, ", "), more)
	a.hint(fmt.Sprintf("belljar run --mode worktree --name %s -- sh -c 'git add -A && git commit -m \"…\"' commits them", t.info.Name))
}

// diffWorktree shows what a sandbox with a worktree committed; done: the words were
// about one.
func (a *App) diffWorktree(ctx context.Context, args []string, o workspace.DiffOptions, asJSON bool) (done bool, err error) {
	t, err := a.worktreeNamed(args)
	if t == nil || err != nil {
		return false, err
	}
	judge, err := a.judgeOf(t.h, t)
	if err != nil {
		return true, err
	}
	changes, n := []worktree.Change{}, 0
	o.Color = useColor(a.Out)
	paths, err := t.relative(args[1:])
	if err != nil {
		return true, err
	}
	err = worktree.Diff(ctx, t.source, t.dir, judge, func(c worktree.Change, before, after worktree.Version) error {
		if !selected(paths, c.Path) {
			return nil
		}
		n++
		if asJSON {
			changes = append(changes, c)
			return nil
		}
		return workspace.DiffContents(a.Out, c.Path, c.Class, c.Reason, content(before), content(after), o)
	})
	switch {
	case err != nil:
		return true, &belljar.Error{Op: "show the branch of", ID: t.info.Name, Err: err}
	case asJSON:
		err = a.printJSON(changes)
	case n == 0:
		a.note("nothing is committed to %s", t.info.Branch)
	}
	a.noteUncommitted(ctx, t, judge)
	return true, err
}

func content(v worktree.Version) workspace.Content {
	c := workspace.Content{Exists: v.Exists, Kind: workspace.KindFile, Perm: v.Perm, Data: v.Data}
	if v.Link {
		c.Kind = workspace.KindSymlink
	}
	if v.Err != nil {
		c.Unread = "it cannot be read: " + v.Err.Error()
	}
	return c
}

// relative makes paths of the command line ones below the project.
func (t *ownTree) relative(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		rel, err := relPath(t.h, t.source.Project, arg)
		if err != nil {
			return nil, err
		}
		out = append(out, rel)
	}
	return out, nil
}

func selected(paths []string, p string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(s string) bool { return s == "." || p == s || strings.HasPrefix(p, s+"/") })
}

// worktreeNamed is the worktree that the first word names; nil: none.
func (a *App) worktreeNamed(args []string) (*ownTree, error) {
	if len(args) == 0 || !validName(args[0]) {
		return nil, nil
	}
	h, err := a.enter()
	if err != nil {
		return nil, err
	}
	return a.worktreeOf(h, args[0])
}

// discardWorktree removes the worktree that the words are about; done: there was one.
func (a *App) discardWorktree(args []string, asJSON bool) (done bool, err error) {
	t, err := a.worktreeNamed(args)
	if t == nil {
		return false, err
	}
	name := args[0]
	if len(args) > 1 {
		return true, usage(fmt.Errorf("%s has a worktree, which is discarded whole", name), "belljar discard "+name)
	}
	if t.info != nil && t.running() {
		return true, &belljar.Error{Op: "discard", ID: name, Kind: belljar.KindConflict, Err: errors.New("its sandbox runs"), Hint: "end it first"}
	}
	if err := t.h.dirs.RemoveWorktree(t.dir, t.source.Project, name); err != nil {
		return true, &belljar.Error{Op: "discard", ID: name, Err: err}
	}
	if asJSON {
		return true, a.printJSON([]map[string]string{{"worktree": name}})
	}
	fmt.Fprintf(a.Out, "discarded the worktree of %s; a branch that was brought home stays\n", name)
	return true, nil
}

// several is a number of things.
func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
