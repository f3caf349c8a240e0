package plan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxGitFile bounds the small files of a git directory: `.git` files, commondir,
// gitdir, alternates.
const maxGitFile = 8 << 10

// isGitDir says whether dir is a git directory by structure, as git decides it:
// HEAD, objects and refs (or a commondir that has the latter two).
func isGitDir(dir string) bool {
	if !exists(filepath.Join(dir, "HEAD")) {
		return false
	}
	if isDir(filepath.Join(dir, "objects")) && isDir(filepath.Join(dir, "refs")) {
		return true
	}
	return isFile(filepath.Join(dir, "commondir"))
}

// gitDirs returns the git directories that belong to the project but lie outside
// it: the common directory of a linked worktree, the directory of a submodule.
//
// A `.git` file is part of the project, so a hostile project can name any
// repository of the user in it. A directory is served only when it points back:
// the worktree's own entry names this project, or core.worktree does. Both are
// written by git in the other repository, where the project cannot write.
func (w *gatherer) gitDirs(dir string) []string {
	dotGit := filepath.Join(dir, ".git")
	st, err := os.Lstat(dotGit)
	if err != nil {
		return nil
	}
	if st.IsDir() {
		w.noteAlternates(dir, dotGit)
		return nil
	}
	gitDir, err := dotGitTarget(dir, st.Mode())
	if err == nil && under(gitDir, dir) {
		return nil
	}
	var serve string
	if err == nil {
		serve, err = w.pointsBack(gitDir, dir)
	}
	if err != nil {
		w.note("git does not work inside: %s: %v", quoted(dotGit), err)
		return nil
	}
	w.noteAlternates(dir, serve)
	return []string{serve}
}

// dotGitTarget is the real path of the directory that a `.git` file or link names.
func dotGitTarget(dir string, mode os.FileMode) (string, error) {
	dotGit := filepath.Join(dir, ".git")
	target := dotGit
	if mode.IsRegular() {
		b, err := readSmall(dotGit, maxGitFile)
		if err != nil {
			return "", bareError(err)
		}
		p, ok := strings.CutPrefix(string(b), "gitdir: ")
		if !ok {
			return "", errors.New("it names no git directory")
		}
		if target, err = cleanLine(dir, p); err != nil {
			return "", err
		}
	} else if mode&os.ModeSymlink == 0 {
		return "", errors.New("it is neither a folder nor a file")
	}
	real, err := filepath.EvalSymlinks(target)
	if err != nil {
		return "", fmt.Errorf("it names %s: %w", quoted(target), bareError(err))
	}
	return real, nil
}

// cleanLine is the path on the only line of a git file, relative to dir.
func cleanLine(dir, s string) (string, error) {
	s = strings.TrimRight(s, "\r\n")
	if s == "" || !plainName(s) {
		return "", errors.New("it names a path that is empty or has control characters")
	}
	if !filepath.IsAbs(s) {
		s = dir + "/" + s // not cleaned: links are resolved before ".."
	}
	return s, nil
}

// pointsBack checks that gitDir is a git directory of the work tree dir and
// returns what has to be served for it.
func (w *gatherer) pointsBack(gitDir, dir string) (string, error) {
	if !isDir(gitDir) || !exists(filepath.Join(gitDir, "HEAD")) {
		return "", fmt.Errorf("it names %s, which is not a git directory", quoted(gitDir))
	}
	serve := gitDir
	var err error
	if exists(filepath.Join(gitDir, "commondir")) {
		serve, err = commonDir(gitDir, dir)
	} else {
		err = submoduleOf(gitDir, dir)
	}
	if err != nil {
		return "", err
	}
	if why := w.g.refuse(serve); why != "" {
		return "", fmt.Errorf("it names %s: %s", quoted(serve), why)
	}
	if under(dir, serve) {
		return "", fmt.Errorf("it names %s, which contains the project", quoted(serve))
	}
	if underAny(serve, systemRoots) {
		return "", fmt.Errorf("it names %s, which belongs to the system", quoted(serve))
	}
	return serve, nil
}

// commonDir checks the entry of a linked worktree, COMMON/worktrees/NAME, and
// returns COMMON.
func commonDir(gitDir, dir string) (string, error) {
	b, err := readSmall(filepath.Join(gitDir, "commondir"), maxGitFile)
	if err != nil {
		return "", fmt.Errorf("read %s/commondir: %w", quoted(gitDir), bareError(err))
	}
	p, err := cleanLine(gitDir, string(b))
	if err != nil {
		return "", err
	}
	common, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", fmt.Errorf("its common directory: %w", bareError(err))
	}
	if filepath.Dir(gitDir) != filepath.Join(common, "worktrees") || !isGitDir(common) ||
		exists(filepath.Join(common, "commondir")) {
		return "", fmt.Errorf("%s is not a worktree of %s", quoted(gitDir), quoted(common))
	}
	back, err := readSmall(filepath.Join(gitDir, "gitdir"), maxGitFile)
	if err != nil {
		return "", fmt.Errorf("read %s/gitdir: %w", quoted(gitDir), bareError(err))
	}
	p, err = cleanLine(gitDir, string(back))
	if err != nil {
		return "", err
	}
	// The entry names the .git file itself; its folder must be the project.
	folder, err := filepath.EvalSymlinks(filepath.Dir(p))
	if err != nil || filepath.Base(p) != ".git" || folder != dir {
		return "", fmt.Errorf("%s is the worktree of another folder (after a move: git worktree repair)", quoted(gitDir))
	}
	return common, nil
}

// submoduleOf checks that core.worktree of gitDir is dir.
func submoduleOf(gitDir, dir string) error {
	if !isGitDir(gitDir) {
		return fmt.Errorf("it names %s, which is not a git directory", quoted(gitDir))
	}
	b, err := readSmall(filepath.Join(gitDir, "config"), maxConfig)
	if err != nil {
		return fmt.Errorf("read %s/config: %w", quoted(gitDir), bareError(err))
	}
	tree := parseGitConfig(b).get("core", "", "worktree")
	if tree == "" {
		return fmt.Errorf("%s does not say that it belongs to this folder (git config core.worktree)", quoted(gitDir))
	}
	p, err := cleanLine(gitDir, tree)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(p); err != nil || real != dir {
		return fmt.Errorf("%s belongs to another folder", quoted(gitDir))
	}
	return nil
}

// noteAlternates tells of objects that lie in other repositories. They are not
// served: the file is the project's, and would name anything.
func (w *gatherer) noteAlternates(dir, gitDir string) {
	b, err := readSmall(filepath.Join(gitDir, "objects", "info", "alternates"), maxGitFile)
	if err != nil {
		return
	}
	for line := range bytes.Lines(b) {
		p, err := cleanLine(filepath.Join(gitDir, "objects"), string(line))
		if err != nil || strings.HasPrefix(string(line), "#") {
			continue
		}
		real := realOrClean(p)
		if !under(real, dir) && !under(real, gitDir) {
			w.note("git objects in %s are not visible inside; --read names them", quoted(real))
		}
	}
}
