package plan

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds for what is looked at in one PATH entry.
const (
	maxEntries  = 256  // entries of PATH
	maxPrograms = 1024 // names of one folder
	maxTargets  = 64   // packages that the links of one folder lead to
)

// system collects the top-level folders of the system as they are on this host.
func (w *gatherer) system() {
	for _, p := range systemRoots {
		st, err := os.Lstat(p)
		if err != nil {
			continue
		}
		if st.Mode()&os.ModeSymlink == 0 {
			if st.IsDir() {
				w.f.System = append(w.f.System, SystemDir{Path: p})
			}
			continue
		}
		// A link into another system folder stays a link; any other is bound by
		// what is behind it, so that nothing depends on a folder that is not there.
		text, err := os.Readlink(p)
		if real, err2 := filepath.EvalSymlinks(p); err == nil && err2 == nil && underAny(real, systemRoots) {
			w.f.System = append(w.f.System, SystemDir{Path: p, Link: text})
		} else if err2 == nil && w.g.refuse(real) == "" {
			w.f.System = append(w.f.System, SystemDir{Path: p})
		}
	}
}

// pathEntries judges every entry of PATH.
func (w *gatherer) pathEntries() {
	seen := map[string]bool{}
	for _, as := range filepath.SplitList(w.env["PATH"]) {
		if len(w.f.Path) == maxEntries {
			w.note("PATH has more than %d entries; the rest is left out", maxEntries)
			return
		}
		if filepath.IsAbs(as) {
			as = filepath.Clean(as)
		}
		if seen[as] {
			continue
		}
		seen[as] = true
		e := w.pathEntry(as)
		if e.Left != "" && e.Real != "" {
			w.note("the PATH entry %s is left out: %s", quoted(as), e.Left)
		}
		w.f.Path = append(w.f.Path, e)
	}
}

// kernelFolders say something else to everybody who looks.
var kernelFolders = []string{"/proc", "/sys", "/dev"}

func (w *gatherer) pathEntry(as string) PathEntry {
	e := PathEntry{As: as}
	if !filepath.IsAbs(as) {
		e.Left = "it is relative to the current folder"
		return e
	}
	real, err := filepath.EvalSymlinks(as)
	if err != nil || !isDir(real) {
		e.Left = "it does not exist"
		return e
	}
	e.Real = real
	if !plainName(as) || strings.Contains(as, ":") {
		e.Left = "its name has control characters or is not UTF-8"
		return e
	}
	switch {
	case underAny(as, kernelFolders):
		e.Left = "it lies in a file system of the kernel, which is another one inside"
		return e
	case w.g.work != "" && under(as, w.g.work) && !under(real, w.g.work) && !underAny(real, systemRoots):
		e.Left = "it lies in the project and leads out of it"
		return e
	case underAny(real, systemRoots), under(real, w.g.work):
	case under(real, "/snap"):
		e.Left = "snap programs need the snap service of the host"
		return e
	default:
		if e.Left = w.g.refuseRoot(real); e.Left != "" {
			return e
		}
		if w.shallow {
			break
		}
		links, found := programs(real)
		if !found {
			e.Left = "it holds no programs"
			return e
		}
		e.Roots = w.entryRoots(real, links)
	}
	w.addLinks(as)
	return e
}

// programs lists the links in dir, and says whether dir holds a program at all: a
// link, or a regular file that somebody may execute. At most maxPrograms names are
// looked at.
func programs(dir string) (links []string, found bool) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	all, _ := f.ReadDir(maxPrograms)
	for _, e := range all {
		if e.Type()&os.ModeSymlink != 0 {
			links, found = append(links, e.Name()), true
		} else if !found && e.Type().IsRegular() {
			st, err := e.Info()
			found = err == nil && st.Mode()&0o111 != 0
		}
	}
	return links, found
}

// entryRoots is what has to be visible for the programs of one PATH entry to run:
// the folder, its installation around it, and the packages that its links lead to.
func (w *gatherer) entryRoots(dir string, links []string) []Root {
	r := roots{w: w}
	r.add(dir, "programs on PATH")
	for _, p := range w.installation(dir) {
		r.add(p, "belongs to "+dir)
	}
	if exists(filepath.Join(dir, "rustup")) {
		home := w.env["RUSTUP_HOME"]
		if !filepath.IsAbs(home) {
			home = filepath.Join(w.f.Home, ".rustup")
		}
		r.add(realOrClean(home), "Rust toolchains")
	}
	for _, name := range links {
		link := filepath.Join(dir, name)
		real, err := filepath.EvalSymlinks(link)
		if err != nil || r.has(real) || !executable(real) {
			continue
		}
		if len(r.list) >= maxTargets {
			w.note("%s leads to more than %d packages; the rest is left out", quoted(dir), maxTargets)
			break
		}
		for _, p := range w.packageOf(real) {
			r.add(p, name+" on PATH")
		}
		w.addLinks(link)
	}
	return r.list
}

// A roots list keeps what passes the guard, without what another one contains.
type roots struct {
	w    *gatherer
	base []Root // visible already
	list []Root
	// led says that a file of the project leads here: a link or the first line of a
	// script. Only installed tools become visible by that.
	led bool
}

func (r *roots) has(p string) bool {
	covers := func(x Root) bool { return under(p, x.Path) }
	return underAny(p, systemRoots) || r.w.g.work != "" && under(p, r.w.g.work) ||
		slices.ContainsFunc(r.base, covers) || slices.ContainsFunc(r.list, covers)
}

// add adds p and returns why it must not be visible, if so.
func (r *roots) add(p, why string) string {
	if r.has(p) || !exists(p) {
		return ""
	}
	if left := r.w.g.refuseRoot(p); left != "" {
		return left
	}
	if r.led && !r.w.installed(p) {
		return "a file of the project leads there, and it is no installed tool"
	}
	r.list = slices.DeleteFunc(r.list, func(x Root) bool { return under(x.Path, p) })
	r.list = append(r.list, Root{Path: p, Why: why, Project: isProject(p)})
	return ""
}

// prefixParts are the folders of an installation that hold programs and what
// they read. Others beside them (etc, var, log) may hold state and credentials.
var prefixParts = []string{"bin", "sbin", "lib", "lib64", "libexec", "include", "share"}

// isProject says whether a folder of programs is one in which somebody works: a
// work tree, a package under development, a folder with secrets by it.
func isProject(p string) bool {
	if isToolRoot(p) || strings.Contains(p+"/", "/node_modules/") || strings.Contains(p, "/versions/") {
		return false
	}
	return exists(filepath.Join(p, ".git")) || exists(filepath.Join(p, ".env")) || exists(filepath.Join(p, "package.json"))
}

// installation returns what belongs to the programs folder dir: the whole
// installation around it where it is one of a known form, else the usual folders
// beside it.
func (w *gatherer) installation(dir string) []string {
	stop := w.f.Home
	if root := lookBelow(filepath.Dir(dir), stop, 4, isToolRoot); root != "" {
		return append([]string{root}, w.toolFiles(root)...)
	}
	prefix := filepath.Dir(dir)
	if filepath.Base(dir) != "bin" || prefix == stop || under(stop, prefix) {
		return nil
	}
	if prefix == filepath.Join(w.f.Home, ".local") {
		// Its share holds the state of everything; only libraries go with programs.
		return existing(filepath.Join(prefix, "lib"))
	}
	if filepath.Base(filepath.Dir(filepath.Dir(prefix))) == "versions" {
		return []string{prefix} // nvm and others: NAME/versions/KIND/VERSION/bin
	}
	var out []string
	for _, p := range prefixParts {
		out = append(out, existing(filepath.Join(prefix, p))...)
	}
	return out
}

// isToolRoot recognises installations that are only of use whole: they hold
// programs and nothing of the user's.
func isToolRoot(d string) bool {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !exists(filepath.Join(d, n)) })
	}
	return has("libexec/pyenv") || has("libexec/rbenv") || has("libexec/nodenv") ||
		has("conda-meta") || has("Cellar") || // conda, Homebrew
		has("installs", "shims") || has("plugins", "shims") || // asdf, mise
		has("tools", "bin/volta-shim") || has("tools/image", "bin") || // Volta
		has("release", "lib/modules") || // a JDK
		has("VERSION", "src/runtime") || // a Go toolchain
		has("pyvenv.cfg")
}

// installed says whether p belongs to a tool that somebody installed: to a whole
// installation, to one version of several, or to the usual folders of a prefix that
// is nobody's work tree.
func (w *gatherer) installed(p string) bool {
	if isToolRoot(p) || lookBelow(filepath.Dir(p), w.f.Home, 8, isToolRoot) != "" || strings.Contains(p, "/versions/") && exists(filepath.Join(p, "bin")) {
		return true
	}
	worked := func(d string) bool { return exists(filepath.Join(d, ".git")) || exists(filepath.Join(d, ".env")) }
	if isProject(p) || worked(p) || lookBelow(filepath.Dir(p), w.f.Home, 64, worked) != "" {
		return false
	}
	prefix := filepath.Dir(p)
	return slices.Contains(prefixParts, filepath.Base(p)) && exists(filepath.Join(prefix, "bin")) && exists(filepath.Join(prefix, "lib"))
}

// toolFiles are files of the user that a version manager reads to choose a version.
func (w *gatherer) toolFiles(root string) []string {
	if !exists(filepath.Join(root, "shims")) {
		return nil
	}
	return existing(filepath.Join(w.f.Home, ".tool-versions"), filepath.Join(w.f.Home, ".asdfrc"))
}

func existing(paths ...string) []string {
	return slices.DeleteFunc(paths, func(p string) bool { return !exists(p) })
}

// packageOf returns what has to be visible for the program file real to run: the
// package that holds it, or the file alone where it belongs to none. What lies in
// the system's folders needs nothing.
func (w *gatherer) packageOf(real string) []string {
	if underAny(real, systemRoots) {
		return nil
	}
	dir := filepath.Dir(real)
	if root := nodePackage(real); root != "" {
		return []string{root}
	}
	if venv := lookBelow(dir, w.f.Home, 3, func(d string) bool { return exists(filepath.Join(d, "pyvenv.cfg")) }); venv != "" {
		return append([]string{venv}, w.venvPython(venv)...)
	}
	if p := versionOf(real, w.f.Home); p != "" {
		return []string{p}
	}
	if lookBelow(dir, w.f.Home, 4, isToolRoot) == "" {
		if p := lookBelow(dir, w.f.Home, 4, func(d string) bool { return exists(filepath.Join(d, "package.json")) }); p != "" {
			return []string{p}
		}
	}
	if in := w.installation(dir); len(in) > 0 {
		return append(in, real)
	}
	return []string{real}
}

// nodePackage is the package below the outermost node_modules on the way to real,
// or that node_modules itself where packages are kept beside each other in a store.
func nodePackage(real string) string {
	base, rest, ok := strings.Cut(real, "/node_modules/")
	if !ok {
		return ""
	}
	base += "/node_modules"
	first, rest, _ := strings.Cut(rest, "/")
	if strings.HasPrefix(first, ".") {
		return base
	}
	if strings.HasPrefix(first, "@") {
		name, _, _ := strings.Cut(rest, "/")
		first += "/" + name
	}
	return base + "/" + first
}

// versionOf is the installed version that holds real, where it lies below a folder
// named "versions": …/versions/2.1.3 (a file) or …/versions/2.1.3/… (a folder).
func versionOf(real, home string) string {
	if !under(real, home) {
		return ""
	}
	before, after, ok := strings.Cut(strings.TrimPrefix(real, home), "/versions/")
	if !ok {
		return ""
	}
	first, rest, _ := strings.Cut(after, "/")
	p := home + before + "/versions/" + first
	if next, _, more := strings.Cut(rest, "/"); more && exists(filepath.Join(p, next, "bin")) {
		p = filepath.Join(p, next) // versions/node/v22.1.0/bin/node
	}
	return p
}

// venvPython is the installation of the interpreter that a virtual environment
// links to, where the system does not hold it.
func (w *gatherer) venvPython(venv string) []string {
	link := filepath.Join(venv, "bin", "python")
	real, err := filepath.EvalSymlinks(link)
	if err != nil || underAny(real, systemRoots) || under(real, venv) {
		return nil
	}
	w.addLinks(link)
	return append(w.installation(filepath.Dir(real)), real)
}
