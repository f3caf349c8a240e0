package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// repoOf is the folder, below the project, of the repository that a script attacks.
func repoOf(id string) string { return "repos/" + strings.ReplaceAll(id, "/", "-") }

// payload is the line that the host must never run.
func payload(id string) string {
	return ": > " + marksDir + "/" + strings.ReplaceAll(id, "/", "_")
}

// script runs the lines of r in dir and says which failed; the others go on. Words
// are separated by blanks; $V is one of the texts below. The verbs are files' calls
// as any program makes them:
//
//	mkdir DIR…, put FILE TEXT, add FILE TEXT, exe FILE TEXT, mv A B, cp A B, ln A B,
//	lns TEXT NAME, rm PATH…, swap A B (exchange), repo DIR (the bones of a git
//	directory without HEAD), sh LINE
func (a *attacker) script(r *row, dir string) string {
	p := payload(r.id)
	texts := strings.NewReplacer(
		"$HOOK", "#!/bin/sh\n"+p+"\n",
		"$CONFIG", "[core]\n\tfsmonitor = \""+p+"; false\"\n\tpager = \""+p+"\"\n\teditor = \""+p+"\"\n",
		"$BARE", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = \""+p+"; false\"\n",
		"$FILTER", "[filter \"e\"]\n\tclean = \""+p+"\"\n\tsmudge = \""+p+"\"\n[diff \"e\"]\n\ttextconv = \""+p+"\"\n",
		"$INCLUDE", "[include]\n\tpath = ../inc\n",
		"$HEAD", "ref: refs/heads/main\n",
		"$RUN", p+"\n", "$LINE", p,
	)
	var failed strings.Builder
	for _, line := range strings.Split(r.script, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if f[0] == "sh" {
			f = []string{"sh", strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "sh "))}
		}
		for i := range f[1:] {
			f[i+1] = texts.Replace(f[i+1])
		}
		if err := verb(dir, f[0], f[1:]); err != nil {
			fmt.Fprintf(&failed, "%s: %v\n", strings.TrimSpace(line), err)
		}
	}
	return failed.String()
}

func verb(dir, name string, w []string) error {
	at := func(i int) string {
		if i >= len(w) {
			return filepath.Join(dir, "missing-word")
		}
		if filepath.IsAbs(w[i]) {
			return w[i]
		}
		return filepath.Join(dir, w[i])
	}
	text := ""
	if len(w) > 1 {
		text = strings.Join(w[1:], " ")
	}
	switch name {
	case "mkdir", "rm":
		var errs []error
		for i := range w {
			if name == "rm" {
				errs = append(errs, os.RemoveAll(at(i)))
			} else {
				errs = append(errs, os.MkdirAll(at(i), 0o755))
			}
		}
		return errors.Join(errs...)
	case "put":
		return writeFile(at(0), text, 0o644)
	case "exe":
		return errors.Join(writeFile(at(0), text, 0o755), os.Chmod(at(0), 0o755))
	case "add":
		f, err := os.OpenFile(at(0), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, text)
		return errors.Join(err, f.Close())
	case "mv":
		return move(at(0), at(1))
	case "cp":
		return copyAll(at(0), at(1))
	case "ln":
		return os.Link(at(0), at(1))
	case "lns":
		return os.Symlink(w[0], at(1))
	case "swap":
		return unix.Renameat2(unix.AT_FDCWD, at(0), unix.AT_FDCWD, at(1), unix.RENAME_EXCHANGE)
	case "repo":
		return errors.Join(os.MkdirAll(at(0)+"/objects", 0o755), os.MkdirAll(at(0)+"/refs", 0o755))
	case "sh":
		c := exec.Command("sh", "-c", text0(w))
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	return fmt.Errorf("unknown verb %q", name)
}

func text0(w []string) string {
	if len(w) == 0 {
		return ""
	}
	return w[0]
}

// move is mv: a rename, else a copy.
func move(from, to string) error {
	if fi, err := os.Stat(to); err == nil && fi.IsDir() {
		to = filepath.Join(to, filepath.Base(from))
	}
	err := os.Rename(from, to)
	if errors.Is(err, unix.EXDEV) {
		return errors.Join(copyAll(from, to), os.RemoveAll(from))
	}
	return err
}

// copyAll copies a tree; what exists is written over.
func copyAll(from, to string) error {
	var errs []error
	err := filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		rel, _ := filepath.Rel(from, p)
		at := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			errs = append(errs, os.MkdirAll(at, 0o755))
		case d.Type()&os.ModeSymlink != 0:
			text, err := os.Readlink(p)
			errs = append(errs, err, os.Symlink(text, at))
		case d.Type().IsRegular():
			errs = append(errs, copyFile(p, at))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, fi.Mode().Perm())
}
