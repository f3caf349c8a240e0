package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/worktree"
)

// A Branch is what a sandbox that had a worktree committed to its branch.
type Branch struct {
	Name    string
	Commits int   // since it was made, in all runs
	Err     error // why they could not be counted
}

// branch looks at the branch of the worktree; nil: the sandbox had none.
func (r *run) branch() *Branch {
	w := &r.p.Workspace
	if w.Mode != belljar.ModeWorktree {
		return nil
	}
	b := &Branch{Name: worktree.Branch(r.p.Name)}
	ctx, cancel := context.WithTimeout(context.Background(), commitsWithin)
	defer cancel()
	if b.Err = r.ownErr; b.Err == nil {
		b.Commits, b.Err = r.own.Ahead(ctx, filepath.Dir(w.Tree()), borrowed(r.p))
	}
	return b
}

// line tells of the branch behind what became of files.
func (b *Branch) line(name string) string {
	switch {
	case b.Err != nil:
		return "; the branch " + b.Name + " could not be read: " + terminal.Escape(b.Err.Error())
	case b.Commits == 0:
		return "; nothing is committed to " + b.Name + " yet"
	}
	return "; " + count(b.Commits, "commit", "commits") + " on " + b.Name + "; belljar diff " + name + " shows them, belljar merge " + name + " brings them home"
}

// EmptyWorktree removes what is in the folder of a worktree, also from within the
// confined supervisor, which may not remove the folder itself: the next run does.
func (d Dirs) EmptyWorktree(dir string) error {
	if !below(dir, d.State) {
		return nil
	}
	names, err := os.ReadDir(dir)
	for _, n := range names {
		err = errors.Join(err, removeTree(filepath.Join(dir, n.Name())))
	}
	return err
}

// RemoveWorktree removes the folder of the worktree in our state that name has for the
// workspace, whatever the sandbox left in it, unless that runs.
func (d Dirs) RemoveWorktree(dir, workspace, name string) error {
	guard, err := d.guard() // nothing starts meanwhile
	if err != nil {
		return err
	}
	defer guard.Close()
	if e, runs, err := d.named(workspace, name); runs || err != nil {
		if runs {
			err = &belljar.Error{Op: "remove the worktree of", ID: name, Kind: belljar.KindConflict, Err: fmt.Errorf("its sandbox runs (process %d)", e.PID), Hint: "belljar stop " + name}
		}
		return err
	}
	rel, err := filepath.Rel(d.State, dir)
	if err != nil {
		return err
	}
	return removeBelow(d.State, rel)
}

// loadWorktree loads the worktree of a sandbox that has one. Who made or found it had no
// claim to its name yet: what somebody removed since is gone.
func (r *run) loadWorktree() error {
	w := &r.p.Workspace
	if w.Mode != belljar.ModeWorktree {
		return nil
	}
	dir := filepath.Dir(w.Tree())
	if r.own, r.ownErr = worktree.Load(dir); errors.Is(r.ownErr, fs.ErrNotExist) {
		return &belljar.Error{Op: "start sandbox", ID: r.p.Name, Kind: belljar.KindConflict, Err: errors.New("its worktree was removed meanwhile"), Hint: "run it again: it gets a new one"}
	}
	if r.o.MadeWorktree {
		r.undo.add(func() error {
			if r.proc != nil { // it was started
				return nil
			}
			return r.o.Dirs.EmptyWorktree(dir)
		})
	}
	return nil
}
