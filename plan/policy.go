package plan

import (
	"path/filepath"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
	"github.com/belljar-dev/belljar/policy"
)

// MakeOptions are what a run asks for beside its policy.
type MakeOptions struct {
	// BestEffort accepts what the tier does not enforce here; the gaps stand in
	// the plan.
	BestEffort bool
}

// Make builds the plan of one sandbox. It is pure: it looks at its arguments only,
// changes none of them, and gives the same plan for the same arguments.
//
// Errors are [*belljar.Error]: KindRefused when the tier does not enforce what the
// plan needs, KindNotHere when the tier is not usable, KindUsage for a files rule
// that must not be served.
func Make(p *policy.Policy, f *Facts, c belljar.Capabilities, o MakeOptions) (*belljar.Plan, error) {
	return build(wishesOf(p, f, o), f, c)
}

func wishesOf(p *policy.Policy, f *Facts, o MakeOptions) wishes {
	w := wishes{
		hide:       p.Hide(),
		hold:       p.Hold(),
		network:    p.Network(),
		registries: p.RegistryKinds(),
		limits:     p.Limits(),
		envPass:    p.EnvPass(),
		envSet:     p.EnvSet(),
		sessions:   p.Sessions(),
		bestEffort: o.BestEffort,
	}
	w.mode, w.modeOrigin = p.Mode()
	for _, r := range p.Read() {
		w.read = append(w.read, pathRule{r.Path, r.Origin})
	}
	for _, r := range p.Write() {
		w.write = append(w.write, pathRule{r.Path, r.Origin})
	}
	for _, h := range p.Home() {
		w.home = append(w.home, homeFile{h.Path, h.Expand(f.Workspace.Dir)})
	}
	return w
}

// hiddenBy is the pattern that would hide the file if it lay in the project, nil
// when none does: a single file is bound as it is, so a secret must not be one.
func (m *maker) hiddenBy(file string) *belljar.Pattern {
	if m.hide == nil {
		globs := make([]*glob.Glob, 0, len(m.w.hide))
		for _, p := range m.w.hide {
			g, err := glob.Compile(p.Glob)
			if err != nil {
				return &belljar.Pattern{Glob: p.Glob, Origin: p.Origin} // the policy has compiled it; hide all rather than nothing
			}
			globs = append(globs, g)
		}
		m.hide = glob.NewSet(globs...)
	}
	for rest := strings.TrimPrefix(file, "/"); rest != ""; {
		if i := m.hide.Match(rest); i >= 0 {
			return &m.w.hide[i]
		}
		_, after, ok := strings.Cut(rest, "/")
		if !ok {
			break
		}
		rest = after
	}
	return nil
}

func canonicalHost(s string) (string, error) { return policy.Host(s) }

// localPath says whether p stays below the folder that it is relative to.
func localPath(p string) bool { return filepath.IsLocal(p) && filepath.Clean(p) != "." }
