package rules

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// Found are patterns that follow from what a project is on the host.
type Found struct {
	Hide, Hold []belljar.Pattern
	// Repositories are the repositories that were found, the project's own and those
	// above it included, each once whatever the number of its work trees.
	Repositories []Repository
	Notes        []string // what was too large to be looked at completely
}

// A Repository is a git directory and the folder that its files are checked out to,
// both absolute; WorkTree is empty for a bare one. Both are what the repository says:
// they may lie anywhere.
type Repository struct{ GitDir, WorkTree string }

// DiscoverOptions say what [Discover] looks at.
type DiscoverOptions struct {
	Dir  string // the project, a real path
	Home string // the user's home, for ~ and as the last folder that is asked for a .git; may be empty
	// GlobalConfigs are the files of git's configuration for all repositories, of
	// the user and the system. Those that do not exist are passed over.
	GlobalConfigs []string
}

// The bounds of [Discover].
const (
	maxEntries  = 1_000_000 // names read, altogether
	maxDepth    = 8         // of folders, of submodules
	maxConfig   = 4 << 20   // bytes of one file
	maxBytes    = 64 << 20  // of all configurations
	maxFiles    = 4000      // configurations read
	maxWords    = 30_000    // of configurations that are looked up
	maxRepos    = 1000
	maxPatterns = 5000
	maxIncludes = 10   // deep
	minDirs     = 300  // looked at for repositories even if it takes long
	maxDirs     = 5000 // looked at for repositories
	maxWalk     = 30 * time.Millisecond
)

// Discover looks at a project on the host for ordinary files that are executed
// or obeyed all the same, because something of a held name leads to them: the
// target of a symbolic link (.git/hooks/pre-commit -> ../../scripts/pre-commit,
// .husky -> tools/husky), and what git's configuration names (a hooks path, a filter,
// a file-system monitor, an included file, a word of a command): that of the project's repository, of its submodules and
// linked work trees, of the repositories above it, of the user and the system,
// with all files that these include, whatever the condition. The target of a link
// with a hidden name (.env -> config/dev) is hidden. The patterns belong into
// [Options].
//
// What the text of existing hooks and of the project's .envrc names is held as well, as
// far as a word of it leads to a file: not what those files execute in their turn.
//
// What relative paths in the configuration of the user and the system mean is held
// at every depth, for the repositories that the sandbox makes.
//
// Repositories and links further down in the project are looked for as well, but
// not for long, not in caches and not more than eight folders deep; where it ended
// early, Notes says so. Everything else is found whatever the size of the project. It reads, never executes; files that cannot
// be read are passed over.
func Discover(o DiscoverOptions) (Found, error) {
	r, err := New(Options{Mode: belljar.ModeLive})
	if err != nil {
		return Found{}, err
	}
	s := newScan(o)
	s.shared(s.dir)
	s.anywhere()
	s.above()
	if g := gitDirOf(s.dir); g != "" {
		s.repository(g, s.dir, 0)
	}
	s.script(filepath.Join(s.dir, ".envrc"), s.dir, "direnv")
	if err := s.folder(s.dir, r.Root(), 0); err != nil {
		return Found{}, fmt.Errorf("look into %q: %w", s.dir, err)
	}
	for _, t := range s.walk(r.Root()) {
		s.repository(t.gitDir, t.workTree, 0)
	}
	return s.found, nil
}

type scan struct {
	dir, home string
	globals   []string
	left      int // names
	bytes     int // of configurations read
	words     int // of configurations looked up
	found     Found
	seen      map[string]bool      // patterns in found.Hold
	files     map[string][]setting // configurations read
	applied   map[[2]string]bool   // configuration and work tree
	repos     map[[2]string]bool   // git directory and work tree
}

func newScan(o DiscoverOptions) *scan {
	return &scan{
		dir: filepath.Clean(o.Dir), home: o.Home, globals: o.GlobalConfigs, left: maxEntries,
		seen: map[string]bool{}, files: map[string][]setting{}, applied: map[[2]string]bool{}, repos: map[[2]string]bool{},
	}
}

// note says once that something was left out.
func (s *scan) note(text string) {
	if key := "note\x00" + text; !s.seen[key] {
		s.seen[key] = true
		s.found.Notes = append(s.found.Notes, text)
	}
}

// entries calls f for each name in a folder until f says no, as far as the bound allows.
func (s *scan) entries(dir string, f func(fs.DirEntry) bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	for s.left > 0 {
		es, err := d.ReadDir(min(4096, s.left))
		s.left -= len(es)
		for _, e := range es {
			if !f(e) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	s.note("the project has too many files to find every link and repository that leads to files which the host executes")
	return nil
}

// folder looks at the links in a folder, and at held folders in it.
func (s *scan) folder(dir string, st State, depth int) error {
	return s.entries(dir, func(e fs.DirEntry) bool {
		p := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			if _, v := st.Judge(e.Name(), Link); v.Kind != Pass {
				s.link(p, v)
			}
		case e.IsDir() && depth < maxDepth:
			if next, v := st.Judge(e.Name(), Dir); v.Kind == Hold && next.Private() {
				_ = s.folder(p, next, depth+1)
			}
		}
		return true
	})
}

// link adds what a link leads to, when that lies in the project.
func (s *scan) link(p string, v Verdict) {
	for _, q := range s.trail(p)[1:] {
		o := belljar.Origin{Layer: "link", File: p, Text: v.Reason}
		if v.Kind != Hide {
			s.add(q, o)
			continue
		}
		rel, ok := strings.CutPrefix(q, s.dir+"/")
		x := belljar.Pattern{Glob: "/" + escapeGlob(rel), Origin: o}
		if !ok || s.seen["hide\x00"+x.Glob] {
			continue
		}
		if _, err := glob.Compile(x.Glob); err == nil && len(s.found.Hide) < maxPatterns {
			s.seen["hide\x00"+x.Glob] = true
			s.found.Hide = append(s.found.Hide, x)
		}
	}
}

// head reads the start of a regular file.
func (s *scan) head(p string) (string, error) {
	i, err := os.Stat(p)
	if err != nil || !i.Mode().IsRegular() {
		return "", errors.Join(err, fs.ErrInvalid)
	}
	if i.Size() > maxConfig {
		s.note(fmt.Sprintf("only the start of %q was looked at for files that git executes", p))
	}
	return head(p)
}

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
