package judge

import (
	"path"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/judge/internal/place"
	"github.com/belljar-dev/belljar/judge/internal/shell"
)

// resolve is the absolute path that a field means, as far as the line says: the links
// that it made are followed.
func (w *walk) resolve(p string) string {
	p = place.Clean(p, w.state.dir)
	for range maxNested {
		next := p
		for from, to := range w.state.links {
			if p == from || strings.HasPrefix(p, from+"/") {
				next = place.Clean(to+p[len(from):], "/")
				break
			}
		}
		if next == p {
			break
		}
		p = next
	}
	return p
}

// known says whether a path can be judged; otherwise it is a question.
func (w *walk) known(p string) bool {
	if place.Bounded(p) {
		return true
	}
	w.ask(guardDynamic, "a path that is too long or too vague to be judged")
	return false
}

// read judges that the content of a file is read and may be shown.
func (w *walk) read(field string, quiet bool) {
	if field == "" || field == "-" || strings.HasPrefix(field, "/dev/fd/") {
		return
	}
	p := w.resolve(field)
	if !w.known(p) {
		return
	}
	switch {
	case strings.HasPrefix(p, "/dev/fd/") || p == "/dev/stdin" || p == "/dev/null" || p == "/dev/tty" || p == "/dev/zero" || p == "/dev/urandom" || p == "/dev/random":
		return
	case w.judge.examples.Has(p) == place.Yes:
		return
	}
	switch w.judge.secrets.Has(p) {
	case place.Yes:
		w.deny(guardSecret, "reads a secret: "+shell.Show(p))
		return
	case place.Maybe:
		switch {
		case shell.Unknown(p):
			w.ask(guardDynamic, "a file that is not known is read: "+shell.Show(field))
		case quiet && w.ours(p) && !strings.Contains(base(p), ".env"), isSource(p):
		default:
			w.ask(guardSecret, "may read a secret: "+shell.Show(p))
		}
		return
	}
	if strings.HasPrefix(p, "/dev/") && w.judge.harmless.Has(p) == place.No {
		w.ask(guardDevice, "reads a device: "+shell.Show(p))
	}
	if w.judge.doubtful.Has(p) == place.Yes {
		w.ask(guardSecret, "often holds a secret: "+shell.Show(p))
	}
}

// isSource says whether a path that is partly known ends as source code and documents
// do, which no secret of the lists does.
func isSource(p string) bool {
	switch path.Ext(base(p)) {
	case ".go", ".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs", ".py", ".rb", ".rs", ".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".kt", ".swift", ".cs", ".php", ".pl", ".sh", ".lua",
		".md", ".txt", ".html", ".css", ".scss", ".vue", ".svelte", ".sql", ".proto", ".toml", ".xml", ".log", ".rst", ".csv", ".scala", ".ex", ".exs", ".hs", ".ml", ".zig", ".dart", ".r", ".tf", ".yaml", ".yml", ".json", ".mod", ".sum", ".lock":
		return !strings.Contains(base(p), ".env")
	}
	return false
}

func base(p string) string { return path.Base(p) }

// tree judges that a folder is read with all that is below.
func (w *walk) tree(field string) {
	if field == "" || field == "-" {
		return
	}
	p := w.resolve(field)
	if w.judge.secrets.Above(p) && !w.ours(p) {
		w.ask(guardSecret, "reads a folder with secrets below: "+shell.Show(p))
	}
}

// ours says whether a path lies in a writable folder.
func (w *walk) ours(p string) bool {
	return slices.ContainsFunc(w.judge.context.Writable, func(d string) bool { return place.Within(p, d) })
}

// project says whether a path lies in the project.
func (w *walk) project(p string) bool { return place.Within(p, w.judge.context.Dir) }

// write judges that a file is written.
func (w *walk) write(field string) {
	if field == "" {
		return
	}
	p := w.resolve(field)
	if !w.known(p) || w.judge.harmless.Has(p) == place.Yes || strings.HasPrefix(field, "/dev/fd/") {
		return
	}
	ours := w.ours(p)
	control := w.judge.control.Has(p)
	if !ours {
		control = max(control, w.judge.system.Has(p))
	}
	switch {
	case strings.HasPrefix(p, "/dev/"):
		w.deny(guardDevice, "writes a device: "+shell.Show(p))
	case control == place.Yes:
		w.deny(guardControl, "writes what controls other programs: "+shell.Show(p))
	case shell.Unknown(p):
		w.ask(guardDynamic, "a file that is not known is written: "+shell.Show(field))
	case control == place.Maybe && !onlyNames(p):
		w.ask(guardControl, "may write what controls other programs: "+shell.Show(p))
	case !ours:
		w.ask(guardOutside, "writes outside the writable folders: "+shell.Show(p))
	case w.judge.held.Has(p) == place.Yes:
		w.ask(guardControl, "writes into a repository's own files: "+shell.Show(p))
	}
}

// onlyNames says whether what is not known of a path is numbers, dates and the like,
// which no name of the lists is.
func onlyNames(p string) bool { return !strings.ContainsAny(p, "\x01\x02\x03\x05\x06") }

// remove judges that a file, or a folder with all that is below, is removed.
func (w *walk) remove(field string, recursive bool) {
	if field == "" {
		return
	}
	p := w.resolve(field)
	if !w.known(p) {
		return
	}
	switch {
	case shell.Unknown(p) && !w.surelyOutside(p):
		w.ask(guardDynamic, "what is removed is not known: "+shell.Show(field))
	case strings.HasPrefix(p, "/dev/") && w.judge.harmless.Has(p) != place.Yes:
		w.deny(guardDevice, "removes a device: "+shell.Show(p))
	case w.ours(p):
	case recursive:
		w.deny(guardDelete, "removes everything below "+shell.Show(p))
	case w.judge.control.Has(p) == place.Yes || w.judge.system.Has(p) == place.Yes:
		w.deny(guardDelete, "removes what controls other programs: "+shell.Show(p))
	default:
		w.ask(guardDelete, "removes outside the writable folders: "+shell.Show(p))
	}
}

// surelyOutside says whether a path that is partly unknown cannot come to lie in a
// writable folder.
func (w *walk) surelyOutside(p string) bool {
	i := strings.IndexAny(p, "\x03\x06")
	known := path.Dir(p[:i] + "x")
	return i > 0 && known != "/" && !w.ours(known) &&
		!slices.ContainsFunc(w.judge.context.Writable, func(d string) bool { return place.Within(d, known) }) && !strings.Contains(p[i:], "..")
}

// within judges that a path is used which must lie in the project.
func (w *walk) within(field, what string) {
	p := w.resolve(field)
	if !w.project(p) || shell.Unknown(p) {
		w.ask(guardOutside, what+" outside the project: "+shell.Show(p))
	}
}

// here judges that a tool works in the working folder, whose files it obeys.
func (w *walk) here() {
	if !w.project(w.state.dir) || shell.Unknown(w.state.dir) {
		w.ask(guardOutside, "works outside the project: "+shell.Show(w.state.dir))
	}
}
