package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/belljar-dev/belljar"
)

// workspace finds the project, checks that it may be one, and finds the git
// directories that belong to it.
func (w *gatherer) workspace() error {
	dir, err := w.chooseWorkspace()
	if err != nil {
		return err
	}
	if err := w.checkWorkspace(dir); err != nil {
		return err
	}
	w.g.work = dir
	ws := WorkspaceFacts{Dir: dir}
	ws.FS, ws.Network = fileSystem(dir)
	if w.o.Worktree {
		if ws.Repository, err = w.repository(dir); err != nil {
			return err
		}
	} else {
		ws.GitDirs = w.gitDirs(dir)
	}
	w.f.Workspace = ws
	w.workspaceLinks()
	return nil
}

func (w *gatherer) chooseWorkspace() (string, error) {
	if w.o.Workspace == "" {
		return w.topOfWorkTree(w.f.Dir), nil
	}
	p := w.o.Workspace
	if !filepath.IsAbs(p) {
		p = filepath.Join(w.f.Dir, p)
	}
	real, err := filepath.EvalSymlinks(p)
	if err == nil && !isDir(real) {
		err = errors.New("not a folder")
	}
	if err != nil {
		return "", &belljar.Error{Op: "use workspace", ID: quoted(p), Kind: belljar.KindUsage, Err: bareError(err),
			Hint: "name an existing folder with --workspace"}
	}
	return real, nil
}

// topOfWorkTree walks up from dir to the folder that holds a git directory. As
// git does, it trusts only one that belongs to the caller: somebody else's
// /tmp/.git must not make /tmp the project. A repository at HOME (dotfiles) or
// above would put all of HOME inside, so dir is the project then.
func (w *gatherer) topOfWorkTree(dir string) string {
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if d == w.f.Home || under(w.f.Home, d) {
			return dir
		}
		dotGit := filepath.Join(d, ".git")
		if !exists(dotGit) {
			continue
		}
		if d == dir {
			return dir
		}
		if !w.mine(dotGit) {
			w.note("%s is not yours, so the project is the current folder", quoted(dotGit))
			return dir
		}
		if isGitDir(dotGit) || isFile(dotGit) {
			return d
		}
	}
	return dir
}

// mine says whether path belongs to the caller or to the identity that the
// sandbox runs as.
func (w *gatherer) mine(path string) bool {
	uid := owner(path)
	return uid >= 0 && (uid == os.Geteuid() || uid == os.Getuid() || uid == w.f.Identity.HostUID)
}

// checkWorkspace refuses what must never be served as a project.
func (w *gatherer) checkWorkspace(dir string) error {
	why, hint := w.g.refuse(dir), "change into a project folder, or name one with --workspace"
	if why == "" && w.ofSystem(dir) {
		why = "it belongs to the system"
	}
	if why == "" {
		return nil
	}
	return &belljar.Error{Op: "use workspace", ID: quoted(dir), Kind: belljar.KindUsage, Err: errors.New(why), Hint: hint}
}

// ofSystem says whether dir is one of the system's folders, or one in them that
// nobody works in: not the caller's, or root's outside of the places for own work.
func (w *gatherer) ofSystem(dir string) bool {
	if !underAny(dir, systemRoots) {
		return false
	}
	own := func(p string) bool { return dir != p && under(dir, p) }
	if w.f.Identity.UID == 0 && !own("/opt") && !own("/usr/local") && !own("/usr/src") {
		return true
	}
	return slices.Contains(systemRoots, dir) || !w.mine(dir)
}

// workspaceLinks keeps the way by which the user came to the project, where it
// leads through links: programs are told that path by the shell or by the user.
func (w *gatherer) workspaceLinks() {
	for _, p := range []string{w.o.Workspace, w.o.Dir, w.env["PWD"]} {
		if !filepath.IsAbs(p) {
			continue
		}
		if real, err := filepath.EvalSymlinks(p); err == nil && under(real, w.f.Workspace.Dir) {
			w.addLinks(p)
		}
	}
}

// bareError drops the path from an error of package os: the caller names it.
func bareError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// quoted shows a path: as it is where it is harmless, quoted where it is not.
func quoted(p string) string {
	if p != "" && printable(p) {
		return p
	}
	return fmt.Sprintf("%q", p)
}
