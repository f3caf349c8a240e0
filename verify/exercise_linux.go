package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar/internal/idmap"
	"golang.org/x/sys/unix"
)

// exercise does on the host's copy of the project what a developer does next. What
// the programs say does not matter; whether a payload runs does. They run in one
// more set of namespaces, without any network. The error says that not all of it was
// done, so that the absence of a mark would prove nothing.
func (w *world) exercise(ctx context.Context, rows []*row) error {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Second)
	defer cancel()
	var dirs []string
	for _, r := range rows {
		if r.judge.marked && r.script != "" {
			dirs = append(dirs, foldersOf(filepath.Join(w.project(), repoOf(r.id)))...)
		}
	}
	half := len(dirs) / 2
	done := make(chan error, 2)
	go func() { done <- w.develop(ctx, dirs[:half]) }()
	go func() {
		if slices.ContainsFunc(rows, func(r *row) bool { return r.group() == "host" || r.group() == "review" }) {
			done <- w.tools(ctx)
			return
		}
		done <- nil
	}()
	return errors.Join(w.develop(ctx, dirs[half:]), <-done, <-done)
}

// foldersOf lists a folder and the folders in it, in which somebody may stand.
func foldersOf(top string) []string {
	out := []string{}
	_ = filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if p != top && (strings.EqualFold(d.Name(), ".git") || len(out) > 12) {
			return filepath.SkipDir
		}
		out = append(out, p)
		if p != top {
			return filepath.SkipDir
		}
		return nil
	})
	return out
}

// develop runs git as a developer does, in every folder.
func (w *world) develop(ctx context.Context, dirs []string) error {
	const line = `for d; do cd "$d" 2>/dev/null || continue
git status
[ -e f ] || continue
git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; git checkout -q -f HEAD
[ -d .git/rebase-merge ] && git rebase --continue
for e in . d; do [ -e $e/.envrc ] && command -v direnv && (cd $e; direnv export bash); done
[ -e .gitmodules ] && git submodule update --init
done >/dev/null 2>&1`
	return w.host(ctx, append([]string{"sh", "-c", line, "sh"}, dirs...))
}

// tools runs what does not need a repository, in the project.
func (w *world) tools(ctx context.Context) error {
	err := w.host(ctx, []string{"sh", "-c", `
command -v make && make
command -v npm && npm test --offline
command -v direnv && direnv export bash
for s in .bashrc .profile; do [ -e ./$s ] && bash --rcfile ./$s -i -c true; done
[ -x .husky/pre-commit ] && .husky/pre-commit
exit 0`})
	for _, dir := range append(foldersOf(w.project()), w.project()) {
		for _, line := range editorTasks(filepath.Join(dir, ".vscode/tasks.json")) {
			err = errors.Join(err, w.host(ctx, []string{"sh", "-c", line}))
		}
	}
	return err
}

// editorTasks are the commands that an editor runs when it opens a folder.
func editorTasks(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var f struct {
		Tasks []struct {
			Command    string
			RunOptions struct{ RunOn string }
		}
	}
	if json.Unmarshal(b, &f) != nil {
		return nil
	}
	var out []string
	for _, t := range f.Tasks {
		if t.RunOptions.RunOn == "folderOpen" {
			out = append(out, t.Command)
		}
	}
	return out
}

// host runs a program in the project, in namespaces without network. The
// status with which it ends does not matter.
func (w *world) host(ctx context.Context, argv []string) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = w.project()
	c.Env = []string{
		"PATH=" + safePath, "HOME=" + w.home, "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=maintenance.auto", "GIT_CONFIG_VALUE_1=false", // repositories so small never need it
		"GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true", "GIT_PAGER=cat", "LANG=C.UTF-8", "GIT_ALLOW_PROTOCOL=ext:file",
	}
	id := idmap.Map{HostUID: os.Getuid(), HostGID: os.Getgid(), UID: os.Getuid(), GID: os.Getgid()}
	c.SysProcAttr = idmap.Attr(id, unix.CLONE_NEWNET|unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWIPC, nil)
	c.SysProcAttr.Pdeathsig = unix.SIGKILL
	c.WaitDelay = time.Second
	var ee *exec.ExitError
	if err := c.Run(); ctx.Err() != nil {
		return fmt.Errorf("do what a developer does next: %w", ctx.Err())
	} else if err != nil && !errors.As(err, &ee) && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("do what a developer does next: %w", err)
	}
	return nil
}
