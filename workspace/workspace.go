// Package workspace shows, applies and discards what a sandbox changed and what
// has not landed on the host: the content of the project's shadow (package
// shadow). It does not know which tier ran the sandbox, and it works while one is
// running and when none is.
//
//	p := workspace.Project{Dir: dir, Shadow: shadowDir, Hide: hide, Hold: hold}
//	changes, err := p.Pending()
//	err = p.Diff(os.Stdout, changes, workspace.DiffOptions{})
//	outcomes, err := p.Apply(ctx, "src/main.go")
//
// # What apply guarantees
//
// Each file on the host is old or new at every moment, also when the process is
// killed. No symbolic link is followed, nothing outside of the project is
// touched, a file with several names gets a private copy. What the host changed
// since the sandbox saw it is never overwritten: the change is a conflict, stays
// in the shadow and is shown. A file that the sandbox could not see (a hidden
// secret) is never removed. git and other tools are never run; an index is
// checked before it lands.
//
// # What undo takes back
//
// The last apply, or what a newer run changed on the host by itself: the server wrote
// down what was there before (package before), which becomes a journal as that of an apply. How the
// run left each place is compared with what the host has: what is another thing now is a conflict.
//
// # Limitations
//
// Renames are found by content, and waiting is a removal and an addition. Between the last look at a host
// file and its replacement the kernel exchanges the two names, so that an edit in
// that moment is noticed; where a file system cannot exchange, that moment of
// microseconds is open. A folder that replaces a file, or the reverse, is a
// conflict: the user removes the one on the host first. Devices, FIFOs and sockets
// are not applied. What a process inside writes to a file that is being applied
// stays waiting. Linux only.
package workspace

import (
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/belljar-dev/belljar"
	"github.com/belljar-dev/belljar/terminal"
	"github.com/belljar-dev/belljar/workspace/rules"
)

// A Project is a workspace with the shadow that belongs to it.
type Project struct {
	Dir    string // real path on the host
	Shadow string // folder of the shadow; it need not exist
	// Hide and Hold are the policy's patterns, as in the plan. They classify, and
	// what Hide names is never removed.
	Hide, Hold []belljar.Pattern
	// Progress, when not nil, is told by apply and undo how many of how many places are
	// done, after each.
	Progress func(done, total int)

	sync func([]*os.File) []error // for tests, instead of the disk
}

func (p Project) tell(done, total int) {
	if p.Progress != nil {
		p.Progress(done, total)
	}
}

// Op is what a change does.
type Op string

// The operations.
const (
	OpAdd    Op = "add"
	OpModify Op = "modify"
	OpMode   Op = "mode" // permission bits or attributes only
	OpDelete Op = "delete"
)

// FileKind is what a change leaves at its path (for a removal: what was there).
type FileKind string

// The kinds of files.
const (
	KindFile    FileKind = "file"
	KindDir     FileKind = "dir"
	KindSymlink FileKind = "symlink"
	KindSpecial FileKind = "special" // FIFO, socket, device
)

// A Change is one thing that waits. Strings are raw bytes from inside; [Change.Name]
// is safe to print.
type Change struct {
	Source string      `json:"source"` // real path of the tree that Path is relative to
	Path   string      `json:"path"`
	Op     Op          `json:"op"`
	Kind   FileKind    `json:"kind"`
	Class  rules.Class `json:"class,omitempty"`
	Reason string      `json:"reason,omitempty"` // why it was held; empty where the mode holds everything
	Size   int64       `json:"size"`             // bytes of the new file
	Perm   uint32      `json:"perm,omitempty"`   // permission bits of the new file
	Target string      `json:"target,omitempty"` // of a symbolic link
	// Conflict says why it cannot be applied as things are; empty when it can.
	Conflict string `json:"conflict,omitempty"`
	// Merge says that the host changed other lines of the file meanwhile: applied are
	// the sandbox's changes to what the host has now.
	Merge bool `json:"merge,omitempty"`
	// From and To are what [Project.Assess] found of a rename: the path that an added
	// file was taken from, and the one that a removed file went to.
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Risks []Risk `json:"risks,omitempty"` // what Assess found

	inProject bool // Source is the project itself
	implied   bool // a removal that follows from a folder made anew: the shadow has no entry for it
}

// Name is the path as the user may type it, safe to print: relative to the
// project, or absolute when the change lies elsewhere; quoted when it holds
// anything unusual.
func (c Change) Name() string { return quote(c.full()) }

func (c Change) full() string { return c.at(c.Path) }

// at is another path of the same tree, as full is.
func (c Change) at(rel string) string {
	if c.inProject {
		return rel
	}
	return path.Join(c.Source, rel)
}

func (c Change) named(rel string) string { return quote(c.at(rel)) }

// Quote makes a name from inside safe to print and unambiguous.
func Quote(name string) string { return quote(name) }

// quote makes a name from inside safe and unambiguous.
func quote(name string) string {
	if name != "" && name == terminal.Escape(name) && !strings.ContainsAny(name, "\"\\") {
		return name
	}
	return strconv.QuoteToASCII(name)
}

// Status says what became of a change.
type Status string

// The statuses.
const (
	Applied    Status = "applied"
	Conflicted Status = "conflict" // kept in the shadow
	Failed     Status = "failed"   // kept in the shadow
	Undone     Status = "undone"
)

// An Outcome is what became of one change that was to be applied.
type Outcome struct {
	Change Change `json:"change"`
	Status Status `json:"status"`
	Why    string `json:"why,omitempty"` // for the user; safe to print

	after *state // what landed, of a file or link
}

// A Run is what a run changed on the host by itself, as far as it can be taken back.
type Run struct {
	Live    bool // mode live; else review with patterns of what passes
	Next    bool // it is what undo takes back next
	Changes []Change
	// Lost are those that undo cannot take back, with the reason as Conflict.
	Lost []Change
	Cut  bool // and there was more than is written down
}

// Pending lists what waits in the shadow for the project in dir, by what the
// package knows without a policy. See [Project.Pending].
func Pending(shadow, dir string) ([]Change, error) {
	return Project{Dir: dir, Shadow: shadow}.Pending()
}

// rank orders changes for reading: what runs by itself first, then what the user
// runs, then secrets, then all others.
func rank(c Change) int {
	switch {
	case c.Class.Runs():
		return 0
	case c.Class == rules.Symlink:
		return 1
	case c.Class == rules.UserRun:
		return 2
	case c.Class == rules.Secret, c.Class == rules.Named:
		return 3
	case c.Class == rules.GitData:
		return 5
	}
	return 4
}

// selects says whether the user's argument names the change or a folder above.
func (p Project) selects(arg string, c Change) bool {
	arg = path.Clean(arg)
	if c.inProject {
		arg = strings.TrimPrefix(arg, path.Clean(p.Dir)+"/")
		if arg == path.Clean(p.Dir) {
			arg = "."
		}
	}
	full := c.full()
	return arg == "." && c.inProject || full == arg || strings.HasPrefix(full, strings.TrimSuffix(arg, "/")+"/")
}

// choose keeps the changes that the arguments name, all without arguments. An
// argument that names none is an error.
func (p Project) choose(all []Change, args []string) ([]Change, error) {
	if len(args) == 0 {
		return all, nil
	}
	used := make([]bool, len(args))
	var out []Change
	for _, c := range all {
		hit := false
		for i, a := range args {
			if p.selects(a, c) {
				hit, used[i] = true, true
			}
		}
		if hit {
			out = append(out, c)
		}
	}
	for i, u := range used {
		if !u {
			return nil, &belljar.Error{
				Op: "find change", ID: quote(args[i]), Kind: belljar.KindUsage, Err: errNothing,
				Hint: "\"belljar diff --name-only\" lists what waits",
			}
		}
	}
	return out, nil
}
