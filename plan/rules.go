package plan

import (
	"errors"
	"os"
	"path/filepath"
)

// rules looks at the paths that the policy's files rules name.
func (w *gatherer) rules() {
	for _, p := range w.o.Read {
		w.f.Rules = append(w.f.Rules, w.rulePath(p, false))
	}
	for _, p := range w.o.Write {
		w.f.Rules = append(w.f.Rules, w.rulePath(p, true))
	}
}

func (w *gatherer) rulePath(as string, write bool) RulePath {
	r := RulePath{As: filepath.Clean(as), Kind: RuleMissing, Write: write}
	if !filepath.IsAbs(r.As) {
		r.Refused = "it is not an absolute path"
		return r
	}
	real, _, err := trail(r.As)
	if err != nil {
		r.Refused = w.g.refuseRule(realOrClean(r.As), write)
		r.Closed = closedAt(err)
		return r
	}
	st, err := os.Lstat(real)
	if err != nil {
		r.Closed = closedAt(err)
		return r
	}
	r.Real = real
	switch {
	case st.IsDir():
		r.Kind = RuleDir
	case st.Mode().IsRegular():
		r.Kind = RuleFile
	default:
		r.Kind = RuleOther
	}
	r.Refused = w.g.refuseRule(real, write)
	if r.Refused == "" && r.Kind == RuleOther {
		r.Refused = "it is a socket, a device or a pipe"
	}
	if r.Refused == "" {
		r.Closed = unreadable(real)
		w.addLinks(r.As)
	}
	return r
}

// closedAt is the folder that err, of a look at a path, says cannot be passed; empty
// when it says something else.
func closedAt(err error) string {
	var e *os.PathError
	if !errors.Is(err, os.ErrPermission) || !errors.As(err, &e) {
		return ""
	}
	return filepath.Dir(e.Path)
}

// unreadable is p where it is a file or folder that this process may not open: the
// server of the view could not either.
func unreadable(p string) string {
	f, err := os.Open(p)
	if err != nil {
		return p
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() && !canExecute(p) {
		return p
	}
	return ""
}

// toolCaches are caches of tools on the host, below HOME. What a build tool finds
// there it runs on the host later, so a sandbox never writes them.
var toolCaches = []string{
	".cache", ".npm", ".yarn", ".pnpm-store", ".local/share/pnpm", ".cargo", ".rustup", ".m2", ".gradle", ".ivy2",
	".sbt", ".nuget", ".gem", ".bundle", ".composer", ".pub-cache", ".deno", ".bun", "go/pkg", "go/bin", ".ccache",
	".nvm", ".pyenv", ".asdf", ".volta", ".local/bin", ".local/lib", "bin",
}

// refuseRule is refuse for a path that the user names: /etc is readable by
// files, system folders are not writable, caches of tools neither.
func (g *guard) refuseRule(real string, write bool) string {
	if why := g.refuse(real); why != "" {
		inEtc := under(real, "/etc") && real != "/etc" && !write && !underAny(real, etcSecret)
		if !inEtc {
			return why
		}
	}
	if !write {
		return ""
	}
	if underAny(real, systemRoots) {
		return "it belongs to the system, which is read-only inside"
	}
	for _, c := range toolCaches {
		p := filepath.Join(g.home, c)
		if under(real, p) || under(p, real) && exists(p) {
			return "tools on the host run what they find in " + p +
				"; inside, tools have caches of their own that are kept per project"
		}
	}
	return ""
}
