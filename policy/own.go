package policy

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar/internal/links"
)

// holdOwn keeps the policy's own files out of reach: a file that decides about the
// next run is held where it lies in the workspace, by its name and by what its links
// lead to (a folder of dotfiles, a --policy of the project), and no folder that holds
// one may be written.
func (l *loader) holdOwn(s *state) {
	for _, f := range []struct{ layer, name string }{{layerUser, l.o.UserFile}, {layerFlag, l.o.PolicyFile}} {
		if f.name == "" {
			continue
		}
		abs, err := filepath.Abs(f.name)
		if err != nil {
			continue // nobody knows where it is, nor could have read it
		}
		src := newSource(f.layer, f.name, "", nil)
		for _, p := range links.Hops(abs) {
			for _, w := range l.paths.works {
				if rel := strings.TrimPrefix(p, w+"/"); rel != p {
					g := "/" + literal(rel)
					add(&s.hold, []item[string]{{g, mark{src: src}}}, same[string])
				}
			}
			for _, i := range s.write {
				if within(p, real(i.value)) || within(p, i.value) {
					l.add(i.mark, "files.write", "", "%s holds the policy %s, which decides about the next run", i.value, p)
				}
			}
		}
	}
}

// ownSources refuses a credential whose file lies, or whose command names something,
// where the sandbox may write: what is inside could make it a link to any secret of the user, or run anything.
// A file that the sandbox may read would be a value inside.
func (l *loader) ownSources(s *state) {
	for _, c := range s.credentials {
		l.ownSource(c, c.value.From.File, "files.read", s.read)
		l.ownSource(c, c.value.From.File, "files.write", s.write)
		for _, name := range commandPaths(c.value.From.Command, l.paths.home) {
			l.ownSource(c, name, "files.write", s.write)
		}
	}
}

func (l *loader) ownSource(c item[grant], from, key string, open []item[string]) {
	if !filepath.IsAbs(from) {
		return
	}
	for _, i := range open {
		in := func(name string) bool { return within(name, real(i.value)) || within(name, i.value) }
		if slices.ContainsFunc(links.Hops(from), in) {
			l.add(i.mark, key, "", "%s holds %s, where the credential %s comes from", i.value, from, c.value.Name)
		}
	}
}

// literal is the pattern that matches the name alone.
func literal(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`*?[]{}\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
