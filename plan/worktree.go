package plan

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/worktree"
)

// WorktreesDir is the folder in stateDir that holds the worktrees of the project at
// workspace, a real path: one folder per sandbox's name.
func WorktreesDir(stateDir, workspace string) string {
	return filepath.Join(ProjectDir(stateDir, workspace), "worktrees")
}

// FindRepository finds the project, its repository and the user's identity for commits,
// as [Gather] does.
func FindRepository(o GatherOptions) (worktree.Source, worktree.Signature, error) {
	o.Worktree = true
	w, err := prepare(o)
	if err == nil {
		err = w.workspace()
	}
	if err != nil {
		return worktree.Source{}, worktree.Signature{}, err
	}
	g, user := w.gitUser(), w.f.Identity.User
	return w.f.Workspace.Source(), worktree.Signature{Name: cmp.Or(g.Name, user), Email: cmp.Or(g.Email, user+"@localhost")}, nil
}

// Source is the repository that worktrees are made of; Repository must be there.
func (w *WorkspaceFacts) Source() worktree.Source {
	return worktree.Source{Project: w.Dir, GitDir: w.Repository.GitDir, Common: w.Repository.Common}
}

// repository finds the git directories of the project. What a project says of itself is
// believed only where git's own files say the same: see [gatherer.gitDirs].
func (w *gatherer) repository(dir string) (*Repository, error) {
	fail := func(err error) error {
		return &belljar.Error{Op: "make a worktree of", ID: quoted(dir), Kind: belljar.KindUsage, Err: err,
			Hint: "run it in a git repository, or choose another --mode"}
	}
	dotGit := filepath.Join(dir, ".git")
	st, err := os.Lstat(dotGit)
	if err != nil {
		return nil, fail(errors.New("it is no git repository, nor the top of one"))
	}
	r := &Repository{GitDir: dotGit, Common: dotGit}
	if !st.IsDir() {
		if r.GitDir, err = dotGitTarget(dir, st.Mode()); err == nil {
			r.Common, err = w.pointsBack(r.GitDir, dir)
		}
		if err != nil {
			return nil, fail(err)
		}
	}
	if !isGitDir(r.Common) || !w.mine(r.Common) {
		return nil, fail(errors.New("its .git is no git directory of yours"))
	}
	if st, err := os.Lstat(filepath.Join(r.Common, "objects")); err != nil || !st.IsDir() {
		return nil, fail(errors.New("its objects are not in its git directory"))
	}
	return r, nil
}

// Committer is who commits inside.
func (f *Facts) Committer() worktree.Signature {
	m := &maker{f: f}
	return worktree.Signature{Name: m.gitName(), Email: m.gitEmail()}
}

// worktree makes the workspace one of the sandbox's own: its work tree at the project's
// path, and the project's objects, which it borrows.
func (m *maker) worktree(ws *belljar.Workspace) error {
	if m.f.Workspace.Repository == nil {
		return &belljar.Error{Op: "make plan", Kind: belljar.KindInternal, Err: errors.New("the facts do not know the project's repository")}
	}
	dir := m.worktreeDir()
	ws.Views = []belljar.View{{Source: worktree.Tree(dir), Target: ws.Dir}}
	ws.Shadow = worktree.Shadow(dir)
	src := m.f.Workspace.Source()
	m.t.add(belljar.Mount{Kind: belljar.MountBind, Source: src.ObjectsDir(), Target: worktree.Objects, ReadOnly: true,
		Why: "git's objects of the project, which the worktree borrows"})
	return nil
}

func (m *maker) worktreeDir() string {
	return filepath.Join(WorktreesDir(m.f.StateDir, m.f.Workspace.Dir), m.f.Name)
}

// keptDir is the folder with caches and sessions: the project's, or the worktree's, as
// sandboxes that have worktrees do not see each other.
func (m *maker) keptDir() string {
	if m.p.Workspace.Mode == belljar.ModeWorktree {
		return m.worktreeDir()
	}
	return ProjectDir(m.f.StateDir, m.f.Workspace.Dir)
}
