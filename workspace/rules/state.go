package rules

import (
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/ablate"
	"github.com/belljar-dev/belljar/internal/glob"
)

// A State says how names in one directory are judged. It is small, immutable
// and comparable with ==: equal states judge everything below alike. The zero
// State is not valid; it comes from [Rules.Root].
type State struct {
	r     *Rules
	place place
	own   *Verdict // in held and hidden places: why
	globs glob.State
	// What may land by itself in mode review: the state of its patterns, or 1 + the
	// index of the one that names this directory or one above.
	landing glob.State
	passed  int
}

// place is what a directory is, apart from the patterns.
type place uint8

const (
	plain         place = iota
	headed              // has a HEAD, so it must not become a git directory
	held                // everything below is held
	hidden              // everything below is hidden
	gitDir              // a git directory
	gitModules          // its modules: a tree whose leaves are git directories
	gitModule           // a directory in it: a git directory, or a part of a module's name
	gitWorktrees        // its worktrees
	gitWorktree         // one of them
	gitInfo             // info
	gitRefsTop          // refs
	gitRefs             // below refs
	gitLogs             // logs and below
	gitObjects          // objects
	gitLoose            // objects/xx
	gitPack             // objects/pack
	gitObjInfo          // objects/info
	gitData             // other folders of objects, of lfs
	gitLFS              // lfs
	gitLFSObjects       // lfs/objects and below
)

// git says whether p is inside a git directory.
func (p place) git() bool { return p >= gitDir }

// Child judges a name of which only the name is known: the strictest verdict
// and the state of a directory of that name. [State.Judge] is more exact.
func (s State) Child(name string) (State, Verdict) { return s.Judge(name, Any) }

// Judge judges a name in the directory: what becomes of changes to it and, for
// a directory, the state of what is below. It does not look at the file system.
func (s State) Judge(name string, e Entry) (State, Verdict) {
	name = glob.Fold(name)
	next, v := s.judge(name, e)
	if v != nil && (v.Kind == Hide && ablate.Off(ablate.Hide) || v.Kind != Hide && ablate.Off(ablate.Hold)) {
		return State{r: s.r, place: plain, globs: next.globs, landing: next.landing, passed: next.passed}, Verdict{}
	}
	next, by := s.passes(name, next)
	if by != nil {
		return next, byPass(v, by)
	}
	if s.r.mode == belljar.ModeLive {
		if v == nil {
			return next, Verdict{}
		}
		return next, *v
	}
	return next, s.r.inMode(v)
}

// inMode is the verdict where the mode is not live.
func (r *Rules) inMode(v *Verdict) Verdict {
	var w Verdict
	if v != nil {
		w = *v
	}
	switch {
	case w.Kind == Hide, ablate.Off(ablate.Review):
	case r.mode == belljar.ModeReadOnly:
		w.Kind, w.Reason, w.Rule = Deny, "the workspace is read-only", nil
	case w.Kind == Pass:
		w.Kind, w.LockOnly = Hold, false
		if w.Reason == "" {
			w.Reason = "review mode holds every change"
		}
	}
	return w
}

// judge takes a folded name; a nil verdict is an ordinary pass.
func (s State) judge(name string, e Entry) (State, *Verdict) {
	switch {
	case s.place == hidden:
		return s, s.own
	case s.place.git():
		p, v := gitChild(s.place, name, e)
		return s.at(p, v), v
	}
	next := s
	var m int
	next.globs, m = s.globs.ChildFolded(name)
	var v *Verdict
	if m >= 0 {
		v = s.r.verdicts[m]
	}
	if c := s.copyOfHidden(name); c != nil && (v == nil || v.Kind != Hide) {
		v = c
	}
	switch {
	case v != nil && v.Kind == Hide:
		return s.at(hidden, v), v
	case s.place == held:
		return next, s.own
	case v != nil && v.Kind == Hold:
		next.place, next.own = held, v
		return next, v
	}
	next.place = plain
	if p, gv, ok := s.structural(name, e); ok {
		if p == held {
			next.place, next.own = held, gv
			return next, gv
		}
		return s.at(p, gv), gv
	}
	if e == Fresh|Link && s.turns(next) {
		return next, &vLink
	}
	return next, v
}

// copyOfHidden is the verdict on a name by which editors keep a copy of a hidden file
// beside it: a swap file, a backup, an unsaved state. Nil for every other name.
func (s State) copyOfHidden(name string) *Verdict {
	for _, of := range originals(name) {
		if _, m := s.globs.ChildFolded(of); m >= 0 && s.r.verdicts[m].Kind == Hide {
			return s.r.verdicts[m]
		}
	}
	return nil
}

// originals are the names of which the folded name may be an editor's copy.
func originals(name string) []string {
	dot := strings.LastIndexByte(name, '.')
	switch last := len(name) - 1; {
	case last < 2:
	case name[last] == '~':
		of := name[:last]
		return []string{of, strings.TrimSuffix(strings.TrimRight(of, "0123456789"), ".~")} // emacs counts: name.~1~
	case name[0] == '#' && name[last] == '#':
		return []string{name[1:last]}
	case strings.HasPrefix(name, ".#"):
		return []string{name[2:]}
	case dot < 1:
	case len(name)-dot == 4 && strings.HasPrefix(name[dot:], ".s") && name[dot+2] >= 'u' && name[dot+2] <= 'w':
		return []string{name[:dot], strings.TrimPrefix(name[:dot], ".")} // vim, from .swp downwards
	case slices.Contains([]string{".bak", ".orig", ".old", ".tmp", ".save", ".backup"}, name[dot:]):
		return []string{name[:dot]}
	}
	return nil
}

// structural judges the names that make git directories.
func (s State) structural(name string, e Entry) (place, *Verdict, bool) {
	switch k := e.kind(); {
	case isDotGit(name):
		if k == File || k == Link {
			return held, &vGitFile, true
		}
		return gitDir, nil, true
	case name == "head" || name == "head.lock":
		if k != Dir {
			return held, &vHeadOutside, true
		}
	case s.place == headed:
		switch strings.TrimSuffix(name, ".lock") {
		case "objects", "refs", "commondir", "gitdir", "config", "config.worktree", "hooks":
			return held, &vShape, true
		}
	}
	return 0, nil, false
}

// at is the state of a child with place p. Patterns end in git directories and
// hidden places, so they are forgotten: fewer states differ.
func (s State) at(p place, v *Verdict) State {
	n := State{r: s.r, place: p, landing: s.landing, passed: s.passed}
	if p == held || p == hidden {
		n.own = v
	}
	return n
}

// turns says whether names below next, a child of s, are judged in another way
// than below a directory of no special name. A symbolic link of such a name
// would give its target that meaning on the host, behind the view's back.
func (s State) turns(next State) bool {
	ordinary, _ := s.globs.ChildFolded("\x01")
	return next.globs != ordinary
}

// Shape is the state of the directory given what the host's has in it. A view
// calls it for each directory; has says whether the host's directory holds the
// exact name, whatever its type. Without a HEAD, which is asked for first, the
// state is s itself.
func (s State) Shape(has func(name string) bool) State {
	if s.place != plain || !has("HEAD") {
		return s
	}
	if GitShape(has) {
		return s.AsGitDir()
	}
	s.place = headed
	return s
}

// AsGitDir is the state of the same directory when it is a git directory, under
// whatever name. Held and hidden places stay what they are.
func (s State) AsGitDir() State {
	if s.place == plain || s.place == headed {
		return s.at(gitDir, nil)
	}
	return s
}

// GitShape says whether a directory with these names is a git directory to git:
// HEAD with objects and refs, or with commondir.
func GitShape(has func(name string) bool) bool {
	return has("HEAD") && (has("commondir") || has("objects") && has("refs"))
}

// InGit says whether the directory is a git directory or lies in one.
func (s State) InGit() bool { return s.place.git() }

// Free says that the directory holds objects of git: data in great number, all
// of which pass, apart from names that git never makes there.
func (s State) Free() bool {
	return s.place >= gitObjects && (s.r.mode == belljar.ModeLive || s.passed > 0)
}

// Private says that nothing below ever reaches the host by itself: every name is
// held or hidden.
func (s State) Private() bool {
	return s.place == held || s.place == hidden || s.r.mode == belljar.ModeReview && s.r.landing == nil
}

// Remove judges taking a name away that the host has: unlink, rmdir, or a rename
// to another name. Deny protects a git directory's existence; a view may let the
// sandbox remove git directories that the same sandbox made. Otherwise the
// verdict is that of a change.
func (s State) Remove(name string, e Entry) Verdict {
	folded := glob.Fold(name)
	if s.place.git() || !s.Private() {
		if v := s.pinned(folded, e); v != nil && s.live(folded) {
			return *v
		}
	}
	_, v := s.Judge(name, e)
	if s.place == gitWorktree && v.Kind == Pass && folded == "head" {
		return vWorktreeHead
	}
	v.LockOnly = false
	if v.Lasting && v.Kind == Pass && e.kind() != Dir {
		v.Kind = Hold
	}
	return v
}

func (s State) pinned(name string, e Entry) *Verdict {
	switch s.place {
	case plain, headed:
		if isDotGit(name) && e.kind() != File && e.kind() != Link {
			return &vPinned
		}
	case gitDir, gitModule:
		if name == "head" || name == "objects" || name == "refs" {
			return &vPinned
		}
	}
	return nil
}

// Replace says whether a rename within the directory may put from in the place
// of to where to is LockOnly (or would be, if it does not exist yet): only git's
// own lock or temporary file may.
func (s State) Replace(from, to string) bool {
	from, to = glob.Fold(from), glob.Fold(to)
	if _, v := s.judge(to, File); v == nil || !v.LockOnly {
		return true
	}
	switch {
	case from == to+".lock", from == "packed-refs.new" && to == "packed-refs":
		return true
	case strings.HasPrefix(to, "sharedindex."):
		return strings.HasPrefix(from, "sharedindex_")
	}
	return false
}

// MayLink says whether a hard link may be made: both names ordinary, both
// outside of git directories or both among git's objects. Everything else would
// give a file two names that are judged differently.
func MayLink(from State, fv Verdict, to State, tv Verdict) bool {
	if fv.Kind != tv.Kind || fv.Kind == Deny || fv.LockOnly || tv.LockOnly || fv.Lasting || tv.Lasting {
		return false
	}
	if fv.Kind == Hide || fv.Kind == Hold {
		return true // both in the shadow
	}
	return from.place == to.place || !from.place.git() && !to.place.git()
}

// Explain judges a whole path, relative to the root, as "policy explain" shows
// it: the deciding verdict of its last component or of a directory above. It does
// not look at the file system, so it speaks of a host that has the folders above.
func (r *Rules) Explain(relPath string) Verdict {
	names := strings.FieldsFunc(relPath, func(c rune) bool { return c == '/' })
	s, v := r.root, r.ordinary()
	for i, name := range names {
		switch {
		case name == ".":
		case i < len(names)-1:
			s, v = s.Judge(name, Dir)
		default:
			s, v = s.Judge(name, Any)
		}
	}
	return v
}

// ordinary is the verdict of a file of no special name.
func (r *Rules) ordinary() Verdict {
	if r.mode != belljar.ModeLive {
		return r.inMode(nil)
	}
	return Verdict{}
}
