// Package rules judges the names of a project: which the sandbox may see, which
// changes go through to the host, which are held back.
//
// The judgement is an automaton. A [State] says what the place of a directory
// means; [State.Judge] takes a name in it to a [Verdict] and, for a directory,
// to the state in which the names below it are judged. A verdict costs one step,
// whatever the depth, and depends on names only: on no content and on no file
// that happens to exist. So it is the same before and after a file appears, and
// through whatever rename it got its name.
//
//	r, err := rules.New(rules.Options{Hide: plan.Workspace.Hide, Mode: belljar.ModeLive})
//	dir := r.Root()
//	git, _ := dir.Judge(".git", rules.Dir)       // Pass
//	_, v := git.Judge("config", rules.File)      // Hold: git obeys its configuration
//
// Four verdicts are possible. Pass: ordinary, changes are written through. Hold:
// readable, but every change stays in the sandbox's private shadow, because
// something on the host would execute or obey the file by itself. Hide: the
// host's file does not exist inside; what the sandbox makes under that name lives
// in the shadow. Deny: the change is refused.
//
// # Git directories
//
// A directory named .git (in any case, or spelled as some file system would
// take for .git) is judged by an allow-list: data of git passes, everything that
// git might obey is held. What git takes for a git directory by structure is
// judged alike: a view asks [State.Shape] about every directory that it comes to
// know. A file named HEAD is held outside of git directories, so that none can
// be completed; where HEAD exists already, objects, refs, commondir, config and
// hooks are held.
//
// # What a view has to do
//
//   - judge at lookup and again when data is accessed, by the name that the file
//     has then; re-judge a directory's shape when its entries may have changed
//   - a rename of a directory between different states is EXDEV: the meaning of
//     what is below would change. States are compared with ==
//   - a rename is a removal and a creation: [State.Remove], [State.Judge] with Fresh
//     at the new name and [State.Replace] for what is already there; where one side
//     passes and the other does not, it is EXDEV
//   - a hard link is made only if [MayLink] says so
//   - a file whose verdict is LockOnly is never opened for writing, created or
//     linked; it changes by a rename that Replace allows, of a file with one link,
//     and an index only if package gitindex finds nothing wrong with its content
//   - the host keeps what is Lasting, and what has a Guard until git's lock is there
//   - what [Discover] finds on the host goes into the options, before the start; it
//     counts with the repositories that are made later. What the configuration of a
//     repository itself says was found then, or not: the sandbox cannot change it, and
//     what the user changes during a run counts from the next one
//   - a symbolic link is judged by its own name (Link) and, where it passes, held
//     if [LinkLeaves] says that its target lies outside
//
// # Limitations
//
// The list of self-running names can never be complete; review mode is for runs
// that nobody watches. Files of the class user-run pass in live mode although
// the next "make" or "npm test" executes them. Patterns of the policy are not
// applied inside git directories, where a hidden branch name would break git.
package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/internal/glob"
	"github.com/belljar-dev/belljar/internal/secrets"
)

// Kind is what becomes of a name.
type Kind uint8

// The kinds, from lenient to strict.
const (
	Pass Kind = iota // visible; changes are written through
	Hold             // visible; changes stay in the shadow
	Hide             // the host's is invisible; the sandbox's own stays in the shadow
	Deny             // visible; changes are refused
)

// String is the word used in events: pass, hold, hide, deny.
func (k Kind) String() string {
	switch k {
	case Pass:
		return "pass"
	case Hold:
		return "hold"
	case Hide:
		return "hide"
	}
	return "deny"
}

// Class says what a file is to the host.
type Class string

// The classes. Ordinary files have none.
const (
	SelfRunning Class = "self-running" // executed or obeyed without being told
	UserRun     Class = "user-run"     // executed when the user builds, tests or runs the project
	Secret      Class = "secret"       // likely to hold a credential
	GitConfig   Class = "git-config"   // git obeys it; self-running too
	GitData     Class = "git-data"     // objects, refs, index: must stay in place
	Policy      Class = "policy"       // belljar's own
	Named       Class = "named"        // the user's policy names it
	Symlink     Class = "link"         // a symbolic link that would change a place's meaning or leaves the tree
)

// Runs says whether a file of the class is executed or obeyed by itself; such
// changes are listed before all others.
func (c Class) Runs() bool { return c == SelfRunning || c == GitConfig || c == Policy }

// A Verdict is the judgement of one name.
type Verdict struct {
	Kind   Kind
	Class  Class
	Reason string // why; empty for an ordinary file that passes
	// Rule is the line of the policy that decided; nil for what belljar knows by itself.
	Rule *belljar.Origin
	// Pattern is the pattern that decided; empty where it was something else.
	Pattern string
	// LockOnly says that the content may change only by a rename onto the name that
	// [State.Replace] allows, as git does it, never in place.
	LockOnly bool
	// Lasting says that the host keeps what it has: removing, replacing or changing
	// it is private. A file comes to such a name by a rename, after its content has
	// been checked. Of a folder it says that it cannot be renamed.
	Lasting bool
	Content Content // of a lasting file: how its content is checked
	// Guard names the lock under which git takes the file away; without it, removing
	// the file is private.
	Guard Guard
	// Cache says that git can make the file anew: nobody misses what is held.
	Cache bool
	// ByPass says that the name is judged as in mode live, because a pattern of
	// Options.Pass names it.
	ByPass bool
}

// Content says how the content of a lasting file is checked.
type Content uint8

// The kinds of content.
const (
	Unchecked   Content = iota
	LooseObject         // its name, after the two digits of its folder's, is the sum of the object in it
	Pack                // it ends with its own sum
	PackIndex           // likewise, and has the sum of its pack
	LargeFile           // its name is its sum, for git-lfs
)

// Guard says which lock protects a file.
type Guard uint8

// The places of locks.
const (
	NoGuard    Guard = iota
	LockBeside       // the file's name and .lock
	LockOfRef        // that of the reference whose log the file is
)

// Entry says what a name stands for.
type Entry uint8

// The types of entries. Fresh is a flag: the host has no such name yet.
const (
	Any  Entry = iota // not known; the strictest judgement, the state of a directory
	Dir               // a directory
	File              // a file, socket, pipe
	Link              // a symbolic link

	Fresh Entry = 0x80
)

func (e Entry) kind() Entry { return e &^ Fresh }

// Options are what a policy adds to what the package knows by itself.
type Options struct {
	// Hide and Hold are patterns relative to the root. Those of the layer "default"
	// are the table of package internal/secrets, which is in force anyway.
	Hide, Hold []belljar.Pattern
	// Pass are patterns of what is judged in mode review as in mode live.
	Pass []belljar.Pattern
	// GitRoot says that the root itself is a git directory.
	GitRoot bool
	Mode    belljar.Mode
}

// Rules are compiled rules: immutable, safe for concurrent use.
type Rules struct {
	mode     belljar.Mode
	set      *glob.Set
	verdicts []*Verdict // by index in set
	landing  *passing   // nil: nothing passes by a pattern
	root     State
}

// New compiles the rules. The only errors are patterns that do not compile and
// an unknown mode.
func New(o Options) (*Rules, error) {
	r := &Rules{mode: o.Mode}
	switch o.Mode {
	case belljar.ModeWorktree:
		r.mode = belljar.ModeLive // in a tree of its own; somebody may look at it with tools of the host
	case belljar.ModeLive, belljar.ModeReview, belljar.ModeReadOnly:
	default:
		return nil, fmt.Errorf("unknown workspace mode %q", o.Mode)
	}
	c := compiler{rules: r}
	// The order is the precedence: the first match decides.
	c.user(o.Hide, Hide)
	c.table(secretNames())
	c.user(o.Hold, Hold)
	c.table(selfRunning)
	c.table(userRun)
	if c.err != nil {
		return nil, c.err
	}
	r.set = glob.NewSet(c.globs...)
	r.root = State{r: r, globs: r.set.Root()}
	if r.landing, c.err = newPassing(o); c.err != nil {
		return nil, c.err
	}
	if r.landing != nil {
		r.root.landing = r.landing.set.Root()
	}
	if o.GitRoot {
		r.root.place = gitDir
	}
	return r, nil
}

// Root is the state of the view's root.
func (r *Rules) Root() State { return r.root }

// layerDefault is the layer of what belljar knows by itself.
const layerDefault = "default"

// ForView are the options for view i of a workspace. Patterns with a slash mean
// places of the project: in another tree only names have a meaning.
func ForView(w *belljar.Workspace, i int) Options {
	o := Options{Hide: w.Hide, Hold: w.Hold, Pass: w.Pass, GitRoot: w.Views[i].Git, Mode: w.Mode}
	if i > 0 {
		o.Hide, o.Hold, o.Pass = anyDepth(w.Hide), anyDepth(w.Hold), anyDepth(w.Pass)
	}
	return o
}

func anyDepth(in []belljar.Pattern) []belljar.Pattern {
	var out []belljar.Pattern
	for _, p := range in {
		if strings.HasPrefix(p.Glob, "**/") || !strings.Contains(p.Glob, "/") {
			out = append(out, p)
		}
	}
	return out
}

// compiler gathers patterns and their verdicts in order.
type compiler struct {
	rules *Rules
	globs []*glob.Glob
	err   error
}

func (c *compiler) add(pattern string, v *Verdict) {
	if c.err != nil {
		return
	}
	g, err := glob.Compile(pattern)
	if err != nil {
		c.err = fmt.Errorf("pattern %q: %w", pattern, err)
		return
	}
	c.globs = append(c.globs, g)
	c.rules.verdicts = append(c.rules.verdicts, v)
}

// layersFound are the layers of the patterns of [Discover].
var layersFound = []string{"git", "link", "direnv"}

func (c *compiler) user(ps []belljar.Pattern, k Kind) {
	own := secrets.Patterns()
	for i := range ps {
		if ps[i].Origin.Layer == layerDefault && k == Hide && slices.Contains(own, ps[i].Glob) {
			continue
		}
		v := &Verdict{Kind: k, Class: Named, Reason: "the policy holds it", Rule: &ps[i].Origin, Pattern: ps[i].Glob}
		switch {
		case k == Hide:
			v.Reason = "the policy hides it"
			v.Class = Secret
		case slices.Contains(layersFound, ps[i].Origin.Layer):
			v.Class, v.Reason = SelfRunning, "what runs by itself here leads to it"
		}
		c.add(ps[i].Glob, v)
	}
}

func (c *compiler) table(t []known) {
	for i := range t {
		for _, p := range t[i].patterns {
			c.add(p, &Verdict{Kind: t[i].kind, Class: t[i].class, Reason: t[i].reason, Pattern: p})
		}
	}
}
