package policy

import (
	"path/filepath"
	"strings"
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
		for _, p := range both(abs) {
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
