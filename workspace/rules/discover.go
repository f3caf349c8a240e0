package rules

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/belljar-dev/belljar"
)

// Found are patterns that follow from what a project is on the host.
type Found struct {
	Hide, Hold []belljar.Pattern
}

// The bounds of [Discover].
const (
	maxEntries = 2000 // looked at, altogether
	maxDepth   = 3    // below a folder whose name is held
	maxConfig  = 1 << 20
)

// Discover looks at a project on the host for ordinary files that are executed
// or obeyed all the same, because something of a held name leads to them: the
// target of a symbolic link (.git/hooks/pre-commit -> ../../scripts/pre-commit,
// .husky -> tools/husky), and what git's configuration names
// ([FromGitConfig]). The target of a link with a hidden name (.env ->
// config/dev) is hidden. The patterns belong into [Options].
//
// It reads, never executes, costs a bounded number of calls whatever the size of
// the project, and looks at the top of the project, at the held folders there and
// at the git directory: such links further down are not found. dir is a real
// path. Files that cannot be read are passed over.
func Discover(dir string) (Found, error) {
	r, err := New(Options{Mode: belljar.ModeLive})
	if err != nil {
		return Found{}, err
	}
	s := &scan{dir: dir, left: maxEntries}
	if err := s.folder(dir, r.Root(), 0); err != nil {
		return Found{}, fmt.Errorf("look into %q: %w", dir, err)
	}
	for _, g := range gitDirs(dir) {
		s.git(g)
	}
	return s.found, nil
}

type scan struct {
	dir   string
	left  int
	found Found
}

// folder looks at the links in a folder, and at held folders in it.
func (s *scan) folder(dir string, st State, depth int) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	es, err := f.ReadDir(s.left)
	_ = f.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.left -= len(es)
	for _, e := range es {
		p := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			if _, v := st.Judge(e.Name(), Link); v.Kind != Pass {
				s.link(p, v)
			}
		case e.IsDir() && depth < maxDepth && s.left > 0:
			if next, v := st.Judge(e.Name(), Dir); v.Kind == Hold && next.Private() {
				_ = s.folder(p, next, depth+1)
			}
		}
	}
	return nil
}

// link adds what a link leads to, when that lies in the project.
func (s *scan) link(p string, v Verdict) {
	target, err := filepath.EvalSymlinks(p)
	if err != nil { // it leads nowhere yet
		text, err := os.Readlink(p)
		if err != nil {
			return
		}
		if target = text; !filepath.IsAbs(text) {
			target = filepath.Join(filepath.Dir(p), text)
		}
	}
	rel, ok := strings.CutPrefix(filepath.Clean(target), s.dir+"/")
	if !ok {
		return
	}
	x := belljar.Pattern{Glob: "/" + escapeGlob(rel), Origin: belljar.Origin{Layer: "link", File: p, Text: v.Reason}}
	if _, err := New(Options{Mode: belljar.ModeLive, Hold: []belljar.Pattern{x}}); err != nil {
		return // no pattern can name it
	}
	if v.Kind == Hide {
		s.found.Hide = append(s.found.Hide, x)
	} else {
		s.found.Hold = append(s.found.Hold, x)
	}
}

// git looks at a git directory of the project.
func (s *scan) git(g string) {
	st := State{place: held, own: &vHooks, r: &Rules{mode: belljar.ModeLive}}
	hooks := filepath.Join(g, "hooks")
	if i, err := os.Lstat(hooks); err == nil && i.Mode()&fs.ModeSymlink != 0 {
		s.link(hooks, vHooks)
	} else if err == nil {
		_ = s.folder(hooks, st, maxDepth)
	}
	for _, name := range []string{"config", "config.worktree"} {
		p := filepath.Join(g, name)
		if i, err := os.Lstat(p); err == nil && i.Mode()&fs.ModeSymlink != 0 {
			s.link(p, vConfig)
		}
		if text, err := head(p); err == nil {
			s.found.Hold = append(s.found.Hold, FromGitConfig(text, p, s.dir, g)...)
		}
	}
}

// head reads the start of a regular file.
func head(p string) (string, error) {
	i, err := os.Stat(p)
	if err != nil || !i.Mode().IsRegular() {
		return "", errors.Join(err, fs.ErrInvalid)
	}
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	return string(b), err
}

// gitDirs are the git directory of dir and, for a linked work tree, the common one.
func gitDirs(dir string) []string {
	g := filepath.Join(dir, ".git")
	i, err := os.Stat(g)
	switch {
	case err != nil:
		return nil
	case i.IsDir():
		return []string{g}
	}
	text, err := head(g)
	if err != nil {
		return nil
	}
	g, ok := strings.CutPrefix(strings.TrimSpace(text), "gitdir: ")
	if !ok {
		return nil
	}
	if !filepath.IsAbs(g) {
		g = filepath.Join(dir, g)
	}
	common, err := head(filepath.Join(g, "commondir"))
	if err != nil {
		return []string{g}
	}
	if common = strings.TrimSpace(common); !filepath.IsAbs(common) {
		common = filepath.Join(g, common)
	}
	return []string{g, common}
}
