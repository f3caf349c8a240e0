package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/belljar-dev/belljar"
)

// A tree is a repository and the folder that its relative paths belong to.
type tree struct{ gitDir, workTree string }

// repository holds what a repository's hooks and configuration lead to.
func (s *scan) repository(g, workTree string, depth int) {
	if s.repos[[2]string{g, workTree}] || depth > maxDepth {
		return
	}
	if len(s.repos) >= maxRepos {
		s.note("the project has too many git repositories, not every configuration was looked at")
		return
	}
	s.repos[[2]string{g, workTree}] = true
	common := g
	if text, err := head(filepath.Join(g, "commondir")); err == nil {
		if common = strings.TrimSpace(text); !filepath.IsAbs(common) {
			common = filepath.Join(g, common)
		}
	}
	s.hooks(filepath.Join(g, "hooks"))
	s.hooks(filepath.Join(common, "hooks"))
	configs := []string{filepath.Join(common, "config"), filepath.Join(g, "config"), filepath.Join(g, "config.worktree")}
	bases := s.bases(configs, g, workTree)
	s.met(common, bases[0])
	for _, base := range bases {
		for _, c := range configs {
			s.config(c, source{file: c, base: base, gitDir: g})
		}
		s.shared(base)
		s.scripts(filepath.Join(common, "hooks"), base)
	}
	s.modules(filepath.Join(common, "modules"), depth+1)
	if common != g {
		s.modules(filepath.Join(g, "modules"), depth+1)
		return
	}
	_ = s.entries(filepath.Join(common, "worktrees"), func(e fs.DirEntry) bool {
		w := filepath.Join(common, "worktrees", e.Name())
		if text, err := head(filepath.Join(w, "gitdir")); err == nil {
			link := strings.TrimSpace(text)
			if !filepath.IsAbs(link) {
				link = filepath.Join(w, link)
			}
			s.repository(w, filepath.Dir(link), depth+1)
		}
		return true
	})
}

// met remembers a repository.
func (s *scan) met(gitDir, workTree string) {
	gitDir = filepath.Clean(gitDir)
	if workTree == gitDir {
		workTree = ""
	}
	if !slices.ContainsFunc(s.found.Repositories, func(r Repository) bool { return r.GitDir == gitDir }) {
		s.found.Repositories = append(s.found.Repositories, Repository{gitDir, workTree})
	}
}

// bases are the folders that relative paths of the configurations may belong to.
func (s *scan) bases(configs []string, g, workTree string) []string {
	var out []string
	if workTree != "" {
		out = append(out, filepath.Clean(workTree))
	}
	for _, c := range configs {
		for _, t := range s.settings(c) {
			if t.section == "core" && t.name == "worktree" && t.value != "" {
				out = append(out, filepath.Clean(pathValue(t.value, g, s.home)))
			}
		}
	}
	if len(out) == 0 {
		out = append(out, g)
	}
	for _, b := range out {
		if real, err := filepath.EvalSymlinks(b); err == nil && real != b {
			out = append(out, real)
		}
	}
	return out
}

// hooks looks at a folder of hooks: it, or what is in it, may be a link.
func (s *scan) hooks(hooks string) {
	st := State{place: held, own: &vHooks, r: &Rules{mode: belljar.ModeLive}}
	i, err := os.Lstat(hooks)
	switch {
	case err != nil:
	case i.Mode()&fs.ModeSymlink != 0:
		s.link(hooks, vHooks)
		if real, err := filepath.EvalSymlinks(hooks); err == nil {
			_ = s.folder(real, st, maxDepth)
		}
	default:
		_ = s.folder(hooks, st, maxDepth)
	}
}

// modules looks at the git directories below a folder of submodules.
func (s *scan) modules(dir string, depth int) {
	if depth > maxDepth {
		s.note("submodules are nested too deeply, not every configuration was looked at")
		return
	}
	_ = s.entries(dir, func(e fs.DirEntry) bool {
		p := filepath.Join(dir, e.Name())
		switch {
		case !e.IsDir():
		case exists(filepath.Join(p, "HEAD")) || exists(filepath.Join(p, "config")):
			s.repository(p, "", depth)
		default: // part of a submodule's name
			s.modules(p, depth+1)
		}
		return true
	})
}

// shared applies the configuration of the user and the system to a work tree.
func (s *scan) shared(base string) {
	for _, c := range s.globals {
		s.config(c, source{file: c, base: base, gitDir: filepath.Join(base, ".git"), shared: true})
	}
}

// above applies the repositories in whose work tree the project lies.
func (s *scan) above() {
	for d, n := s.dir, 0; d != s.home && d != filepath.Dir(d) && n < 100; n++ {
		d = filepath.Dir(d)
		if g := gitDirOf(d); g != "" {
			s.repository(g, d, 0)
		}
	}
}

// config applies one configuration with what it includes to a work tree.
func (s *scan) config(p string, src source) {
	if s.applied[[2]string{p, src.base}] {
		return
	}
	s.applied[[2]string{p, src.base}] = true
	if i, err := os.Lstat(p); err == nil && (i.Mode()&fs.ModeSymlink != 0 || src.shared) {
		s.hold(p, belljar.Origin{Layer: "git", File: p, Text: vConfig.Reason})
	}
	for _, t := range s.settings(p) {
		s.setting(t, src)
	}
}

// include applies an included file like the one that names it.
func (s *scan) include(p string, src source) {
	if src.depth >= maxIncludes {
		s.note("git's configuration includes files too deeply, not all were looked at")
		return
	}
	src.file = filepath.Clean(p)
	src.depth++
	s.config(src.file, src)
}

// settings reads a configuration once.
func (s *scan) settings(p string) []setting {
	if ts, ok := s.files[p]; ok {
		return ts
	}
	if len(s.files) >= maxFiles || s.bytes >= maxBytes {
		s.note("there are too many files of git configuration, not all were looked at")
		return nil
	}
	text, err := s.head(p)
	if err != nil {
		s.files[p] = nil
		return nil
	}
	s.bytes += len(text)
	s.files[p] = parseConfig(text)
	return s.files[p]
}

// gitDirOf is the git directory that a work tree's .git is or names, "" without one.
func gitDirOf(dir string) string {
	g := filepath.Join(dir, ".git")
	i, err := os.Stat(g)
	switch {
	case err != nil:
		return ""
	case i.IsDir():
		return g
	}
	text, err := head(g)
	if err != nil {
		return ""
	}
	g, ok := strings.CutPrefix(strings.TrimSpace(text), "gitdir:")
	if g = strings.TrimSpace(g); !ok || g == "" {
		return ""
	}
	if !filepath.IsAbs(g) {
		g = filepath.Join(dir, g)
	}
	return g
}

// caches are folders in which nobody works, and which are large.
var caches = map[string]bool{
	"node_modules": true, ".cache": true, ".venv": true, "venv": true, ".tox": true, ".gradle": true, ".terraform": true, ".next": true,
	"__pycache__": true, ".mypy_cache": true, ".pytest_cache": true, ".ruff_cache": true, ".pnpm-store": true, ".yarn": true, "target": true,
}

type walked struct {
	dir   string
	st    State
	depth int
}

// walk looks for repositories in the project, the nearest first, and on the way at
// links of held and hidden names. It ends after a bounded time. Folders that only
// look like git directories come last: a project may bring any number of those.
func (s *scan) walk(root State) []tree {
	var out, bare []tree
	end := time.Now().Add(maxWalk)
	queue := []walked{{s.dir, root, 0}}
	for n := 0; n < len(queue); n++ {
		if n >= maxDirs || n >= minDirs && time.Now().After(end) {
			s.note("the project has too many folders to look for git repositories in all of them; what the configuration of one further down names is not held")
			break
		}
		w := queue[n]
		names := map[string]bool{}
		var below []walked
		_ = s.entries(w.dir, func(e fs.DirEntry) bool {
			name := e.Name()
			p := filepath.Join(w.dir, name)
			switch name {
			case "HEAD", "objects", "refs", "commondir":
				names[name] = true
			}
			switch {
			case IsDotGit(name):
				names[".git"] = true
			case e.Type()&fs.ModeSymlink != 0 && w.depth > 0:
				if _, v := w.st.Judge(name, Link); v.Kind != Pass {
					s.link(p, v)
				}
			case e.IsDir() && w.depth < maxDepth && !caches[name] && len(queue)+len(below) <= maxDirs:
				next, _ := w.st.Judge(name, Dir)
				below = append(below, walked{p, next, w.depth + 1})
			}
			return true
		})
		if names[".git"] {
			if g := gitDirOf(w.dir); g != "" {
				out = append(out, tree{g, w.dir})
			}
		}
		if GitShape(func(name string) bool { return names[name] }) {
			bare = append(bare, tree{w.dir, ""})
			continue
		}
		queue = append(queue, below...)
	}
	return append(out, bare...)
}
