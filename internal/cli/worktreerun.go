package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/plan"
	"github.com/belljar-dev/belljar/sandbox"
	"github.com/belljar-dev/belljar/workspace/rules"
	"github.com/belljar-dev/belljar/workspace/worktree"
)

// tree is the folder that is served as the project, where it is there already.
func (p *prepared) tree() string {
	if dir := p.plan.Workspace.Tree(); isFolder(dir) {
		return dir
	}
	return p.plan.Workspace.Dir // belljar plan makes none
}

func isFolder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// worktree makes the sandbox's worktree, or finds the one that an earlier run of that
// name has.
func (a *App) worktree(ctx context.Context, h *host, p *prepared, f *planFlags) error {
	ws := &p.plan.Workspace
	if ws.Mode != belljar.ModeWorktree {
		if f.uncommitted {
			return usage(errors.New("--uncommitted is for a run with --mode worktree"), "other modes show the project as it is")
		}
		return nil
	}
	if f.look {
		return nil
	}
	dir := filepath.Dir(ws.Tree())
	err := a.findWorktree(p, f, dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = a.makeWorktree(ctx, p, f, dir); err == nil {
			p.made = dir
		} else if errors.Is(err, worktree.ErrThere) { // another run of that name has just made it
			err = a.findWorktree(p, f, dir)
		}
	}
	if err != nil {
		return err
	}
	// The folder that the user stands in may not be committed.
	if rel, err := filepath.Rel(ws.Dir, p.plan.Command.Dir); err != nil || !isFolder(filepath.Join(ws.Tree(), rel)) {
		p.plan.Command.Dir = ws.Dir
	}
	return nil
}

// findWorktree says that the run goes on in the worktree that is there; fs.ErrNotExist: none is.
func (a *App) findWorktree(p *prepared, f *planFlags, dir string) error {
	info, err := worktree.Load(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return &belljar.Error{Op: "open the worktree of", ID: p.plan.Name, Err: err, Hint: "belljar discard " + p.plan.Name + " removes it"}
	case f.uncommitted:
		return usage(fmt.Errorf("the worktree of %s is there already", p.plan.Name), "leave --uncommitted out, or choose another --name")
	}
	a.note("%s goes on in its worktree, branch %s, made %s", p.plan.Name, info.Branch, info.Created.Local().Format(time.DateTime))
	return nil
}

func (a *App) makeWorktree(ctx context.Context, p *prepared, f *planFlags, dir string) error {
	judge, err := rules.New(rules.ForView(&p.plan.Workspace, 0))
	if err != nil {
		return err
	}
	_, err = worktree.Create(ctx, worktree.CreateOptions{
		Source: p.facts.Workspace.Source(), Dir: dir, Name: p.plan.Name, Rules: judge, Who: p.facts.Committer(), Uncommitted: f.uncommitted,
	})
	if err != nil {
		return &belljar.Error{Op: "make a worktree for", ID: p.plan.Name, Kind: belljar.KindNotHere, Err: err}
	}
	return nil
}

// runPrepared runs the sandbox. A worktree that is new and in which nothing was done
// goes with it, unless the user gave it a name.
func (a *App) runPrepared(ctx context.Context, h *host, p *prepared, o sandbox.Options) (sandbox.Result, error) {
	o.MadeWorktree = p.made != ""
	res, err := sandbox.Run(ctx, o)
	if p.made == "" {
		return res, err
	}
	s := &res.Summary
	idle := !p.facts.Named && s.Branch != nil && s.Branch.Commits == 0 && s.Branch.Err == nil && s.Passed == s.Git && s.Commits.Commits == 0 &&
		s.Kept == 0 && s.Unread == nil
	if idle && res.End.Reason != "" {
		err = errors.Join(err, h.dirs.EmptyWorktree(p.made))
	}
	return res, err
}

// A ownTree is the worktree of a sandbox, with the repository that it came from.
type ownTree struct {
	dir    string
	info   *worktree.Info
	source worktree.Source
	who    worktree.Signature
	h      *host
}

// worktreeOf finds the worktree of a sandbox in the project that the user stands in;
// nil: there is none of that name.
func (a *App) worktreeOf(h *host, name string) (*ownTree, error) {
	if !validName(name) {
		return nil, nil
	}
	o := h.gatherOptions()
	project, err := plan.FindWorkspace(o)
	if err != nil {
		return nil, nil // no project: other commands say so
	}
	t := &ownTree{dir: filepath.Join(plan.WorktreesDir(h.dirs.State, project), name), h: h}
	t.info, err = worktree.Load(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		t.source, t.who, err = plan.FindRepository(o)
	}
	if err != nil {
		return t, &belljar.Error{Op: "open the worktree of", ID: name, Err: err, Hint: "belljar discard " + name + " removes it"}
	}
	return t, nil
}

// running says that the sandbox of the worktree runs.
func (t *ownTree) running() bool {
	_, runs, _ := t.h.dirs.NameInUse(t.info.Project, t.info.Name)
	return runs
}

// names are the sandboxes that have worktrees in the project at hand.
func worktreeNames(h *host, project string) string {
	names, err := worktree.List(plan.WorktreesDir(h.dirs.State, project))
	if err != nil || len(names) == 0 {
		return "belljar run --mode worktree makes one"
	}
	return "there is: " + strings.Join(names, ", ")
}
