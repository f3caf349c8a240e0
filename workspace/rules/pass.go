package rules

import (
	"fmt"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
)

// passing are the compiled patterns of what lands by itself in mode review. They have
// a set of their own: what they decide is in which mode a name is judged, and never
// what the name means. So nothing that is held, hidden or denied in mode live passes.
type passing struct {
	set   *glob.Set
	rules []belljar.Pattern // by index in set
}

// newPassing is nil where no pattern has an effect.
func newPassing(o Options) (*passing, error) {
	if o.Mode != belljar.ModeReview || len(o.Pass) == 0 {
		return nil, nil
	}
	p := &passing{rules: o.Pass}
	var globs []*glob.Glob
	for _, x := range o.Pass {
		g, err := glob.Compile(x.Glob)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", x.Glob, err)
		}
		globs = append(globs, g)
	}
	p.set = glob.NewSet(globs...)
	return p, nil
}

// passes says whether the folded name in s is judged as in mode live, and by which
// pattern; next is the state of what is below, with what s knows of it. A pattern
// that names a folder names all below.
func (s State) passes(name string, next State) (State, *belljar.Pattern) {
	p := s.r.landing
	if p == nil {
		return next, nil
	}
	if s.passed > 0 {
		next.passed = s.passed // below it no pattern is asked: fewer states differ
		return next, &p.rules[s.passed-1]
	}
	below, m := s.landing.ChildFolded(name)
	if m < 0 {
		next.landing = below
		return next, nil
	}
	next.landing, next.passed = glob.State{}, m+1
	return next, &p.rules[m]
}

// live says whether the folded name in s is judged as in mode live.
func (s State) live(name string) bool {
	if s.r.mode == belljar.ModeLive {
		return true
	}
	_, p := s.passes(name, s)
	return p != nil
}

// byPass is the verdict on what a pattern lets pass.
func byPass(v *Verdict, p *belljar.Pattern) Verdict {
	var w Verdict
	if v != nil {
		w = *v
	}
	w.ByPass = true
	if w.Kind == Pass && w.Rule == nil && w.Pattern == "" {
		w.Rule, w.Pattern = &p.Origin, p.Glob
	}
	return w
}
