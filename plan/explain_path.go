package plan

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A place is what serves a path inside: a view, a mount, or nothing.
type place struct {
	path  string
	view  int            // -1: none
	mount *belljar.Mount // nil: none
	host  string         // where it is on the host, when that is what is shown
}

// place finds the innermost view or mount that p is or lies in.
func (r *explainer) place(p string) place {
	at := place{path: p, view: -1}
	best := -1
	for i, v := range r.Plan.Workspace.Views {
		if under(p, v.Target) && len(v.Target) > best {
			best, at.view = len(v.Target), i
			at.host = filepath.Join(v.Source, strings.TrimPrefix(p, v.Target))
		}
	}
	for i := range r.Plan.Mounts {
		m := &r.Plan.Mounts[i]
		if !under(p, m.Target) || len(m.Target) <= best {
			continue
		}
		best, at.view, at.mount, at.host = len(m.Target), -1, m, ""
		if m.Kind == belljar.MountBind && m.ReadOnly {
			at.host = filepath.Join(m.Source, strings.TrimPrefix(p, m.Target))
		}
	}
	return at
}

// follow resolves the links on the way to p as the sandbox would find them: those of
// the plan and those of the host's folders that are shown. It does not go through
// what is hidden. False means too many.
func (r *explainer) follow(p string) (string, bool) {
	cur, rest := "/", splitPath(p)
	for links := 0; len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		if c == ".." {
			cur = filepath.Dir(cur)
			continue
		}
		next := filepath.Join(cur, c)
		text, ok := r.linkAt(next)
		if !ok {
			cur = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(text) {
			cur = "/"
		}
		rest = append(splitPath(text), rest...)
	}
	return cur, true
}

// linkAt is the text of the link that stands at p inside.
func (r *explainer) linkAt(p string) (string, bool) {
	at := r.place(p)
	if at.mount != nil && at.mount.Kind == belljar.MountSymlink && at.mount.Target == p {
		return at.mount.Content, true
	}
	if at.host == "" || at.view >= 0 && r.judge(at).Kind == rules.Hide {
		return "", false
	}
	text, err := os.Readlink(at.host)
	return text, err == nil
}

// judge is the verdict of the view about a place in it, as the view finds it: name by
// name, with the shape of the folders on the host.
func (r *explainer) judge(at place) rules.Verdict {
	v := r.Plan.Workspace.Views[at.view]
	set := r.sets[at.view]
	if set == nil {
		var err error
		if set, err = rules.New(rules.ForView(&r.Plan.Workspace, at.view)); err != nil {
			return rules.Verdict{Kind: rules.Hide, Reason: err.Error()} // the view would not start
		}
		r.sets[at.view] = set
	}
	dir := v.Source
	shape := func(s rules.State) rules.State {
		return s.Shape(func(name string) bool { return exists(filepath.Join(dir, name)) })
	}
	state := shape(set.Root())
	names := splitPath(strings.TrimPrefix(at.path, v.Target))
	verdict := set.Explain("")
	for i, name := range names {
		dir = filepath.Join(dir, name)
		entry := entryOf(dir)
		if i < len(names)-1 {
			entry = rules.Dir | entry&rules.Fresh
		}
		state, verdict = state.Judge(name, entry)
		state = shape(state)
	}
	return verdict
}

func entryOf(p string) rules.Entry {
	st, err := os.Lstat(p)
	switch {
	case err != nil:
		return rules.Any | rules.Fresh
	case st.IsDir():
		return rules.Dir
	case st.Mode()&os.ModeSymlink != 0:
		return rules.Link
	}
	return rules.File
}

// explainPlace says what the plan shows at a place. named is the path that a rule
// would name.
func (r *explainer) explainPlace(e *Explanation, at place, named string) {
	switch {
	case at.view >= 0:
		r.explainView(e, at)
	case at.mount == nil, at.mount.Kind == belljar.MountDir && at.mount.Target != at.path:
		if r.hasBelow(at.path) {
			e.Verdict, e.Allowed, e.Rule = "read", true, origin(ours)
			e.Reason = "a folder that holds only what is visible below it"
			return
		}
		e.Verdict, e.Reason = "refuse", "it is not visible inside"
		r.share(e, named)
	case at.mount.Kind == belljar.MountBind && at.mount.ReadOnly:
		e.Verdict, e.Allowed, e.Rule, e.Reason = "read", true, r.ruleOf(at.path, at.mount.Why), at.mount.Why+", read-only"
		if !exists(at.host) {
			e.Reason += "; the host has no such file"
		}
	case at.mount.Kind == belljar.MountBind && at.mount.Source == at.mount.Target:
		e.Verdict, e.Allowed, e.Rule, e.Reason = "write", true, r.ruleOf(at.path, at.mount.Why), at.mount.Why
	case at.mount.Kind == belljar.MountFile && r.ofHost(at.mount):
		e.Verdict, e.Allowed, e.Rule, e.Reason = "read", true, origin(ours), at.mount.Why+", read-only"
	default:
		e.Verdict, e.Rule = "private", origin(ours)
		e.Reason = "the sandbox has its own there, the host's is not visible (" + at.mount.Why + ")"
		if at.mount.Kind == belljar.MountBind && at.mount.Target != at.path {
			r.share(e, named)
		}
	}
}

// ofHost says whether a small file has the host's content.
func (r *explainer) ofHost(m *belljar.Mount) bool {
	return slices.ContainsFunc(r.Facts.Etc, func(f EtcFile) bool { return f.Path == m.Target && f.Content == m.Content })
}

// ruleOf is the line of the policy that makes p visible, or the layer "default" with
// what the plan says of it.
func (r *explainer) ruleOf(p, why string) *belljar.Origin {
	for _, list := range [][]pathRule{pathRules(r.Policy.Write()), pathRules(r.Policy.Read())} {
		for _, x := range list {
			if under(p, realOrClean(x.path)) {
				return origin(x.origin)
			}
		}
	}
	return &belljar.Origin{Layer: layerDefault, Text: why}
}

func (r *explainer) hasBelow(p string) bool {
	below := func(x string) bool { return under(x, p) }
	return slices.ContainsFunc(r.Plan.Workspace.Views, func(v belljar.View) bool { return below(v.Target) }) ||
		slices.ContainsFunc(r.Plan.Mounts, func(m belljar.Mount) bool { return below(m.Target) })
}

// explainView says what the view makes of a name.
func (r *explainer) explainView(e *Explanation, at place) {
	view, v := r.Plan.Workspace.Views[at.view], r.judge(at)
	e.Verdict, e.Reason, e.Rule = v.Kind.String(), v.Reason, v.Rule
	e.Allowed = v.Kind != rules.Hide
	if e.Rule == nil {
		e.Rule = &belljar.Origin{Layer: layerDefault, Text: v.Pattern}
	} else if e.Rule.Text == "" {
		e.Rule = &belljar.Origin{Layer: e.Rule.Layer, File: e.Rule.File, Line: e.Rule.Line, Text: v.Pattern}
	}
	switch mode := r.Plan.Workspace.Mode; {
	case v.Kind == rules.Hide && v.Rule == nil:
		e.Fix = "copy what the sandbox needs to a file of another name"
	case v.Kind == rules.Hide:
		e.Fix = "drop the rule, or copy what the sandbox needs to a file of another name"
	case mode == belljar.ModeReadOnly || view.ReadOnly:
		e.Verdict, e.Reason = "read", "nothing can be changed there"
		if mode == belljar.ModeReadOnly {
			_, o := r.Policy.Mode()
			e.Rule, e.Fix = origin(o), "--mode live or --mode review"
		} else {
			e.Rule = r.ruleOf(at.path, "visible, read-only")
		}
	case v.Kind == rules.Hold && mode == belljar.ModeReview && !v.Class.Runs() && v.Rule == nil:
		_, o := r.Policy.Mode()
		e.Rule, e.Reason, e.Fix = origin(o), "every change waits in mode review", "belljar apply lets a change land"
	case v.Kind == rules.Hold:
		e.Fix = "belljar apply lets a change land"
	case v.Kind == rules.Pass && at.view > 0 && !view.Git:
		e.Verdict, e.Reason, e.Rule = "write", "changes are written through", r.ruleOf(at.path, "visible, writable")
	case v.ByPass && v.Kind == rules.Pass:
		e.Reason = strings.TrimSuffix("workspace.pass lets it land by itself; "+e.Reason, "; ")
		e.Fix = "drop the pattern, or add one to files.hold: then its changes wait"
	case v.Kind == rules.Pass && v.Class == rules.UserRun:
		e.Reason += "; changes are written through and listed first"
		e.Fix = "workspace.mode: review, or files.hold, keeps changes until you apply them"
	case v.Kind == rules.Pass:
		e.Reason = strings.TrimSuffix("an ordinary file of the project, changes are written through; "+e.Reason, "; ")
	}
}

// share says what would make a path of the host visible, or why nothing can.
func (r *explainer) share(e *Explanation, abs string) {
	no := func(why string) { e.Reason += ", and no rule can show it: " + why }
	if err := r.Policy.MayShare(abs, false); err != nil {
		no(err.Error())
		return
	}
	w := gatherer{g: newGuard(r.Facts), f: &Facts{}, links: map[string]string{}}
	w.g.work = r.Facts.Workspace.Dir
	p := w.rulePath(abs, false)
	switch {
	case p.Refused != "":
		no(p.Refused)
	case p.Closed != "":
		no("you may not read " + quoted(p.Closed))
	case p.Kind == RuleMissing:
		e.Reason += "; the host has no such file"
	default:
		if p.Kind == RuleFile {
			if why := r.maker().hiddenBy(p.Real); why != "" {
				no(why)
				return
			}
		}
		e.Fix = "--read " + quoted(abs)
	}
}
